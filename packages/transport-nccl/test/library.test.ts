// Which NCCL is found, and the errors if there is none. Each case runs in its own process, because a process opens NCCL
// once.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildFakes, noCompiler } from './fakes.ts';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ce-nccl-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

type Availability =
  | { available: true; path: string; version: string }
  | { available: false; reason: string; hint: string };

function evaluate(code: string, env: Record<string, string>): unknown {
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    cwd: packageFolder,
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}
const availability = (env: Record<string, string>) =>
  evaluate(
    `import { ncclAvailability } from '@checkpoint-engine/transport-nccl';
     console.log(JSON.stringify(ncclAvailability()));`,
    env,
  ) as Availability;
const codeOfOpening = (env: Record<string, string>) =>
  evaluate(
    `import { openNccl } from '@checkpoint-engine/transport-nccl';
     try { openNccl(); console.log('"opened"'); } catch (error) { console.log(JSON.stringify(error.code)); }`,
    env,
  );

describe('without a usable NCCL', () => {
  it('names the missing file of CHECKPOINT_ENGINE_NCCL_LIB', () => {
    const env = { CHECKPOINT_ENGINE_NCCL_LIB: join(folder, 'nothing', 'libnccl.so.2') };
    const found = availability(env);
    expect(found).toMatchObject({
      available: false,
      reason: expect.stringContaining(env.CHECKPOINT_ENGINE_NCCL_LIB),
      hint: expect.stringContaining('Install NCCL 2.18 or later'),
    });
    expect(codeOfOpening(env)).toBe('CE_LIBRARY_NOT_FOUND');
  });

  it("reports the loader's message for a file that is not a library", () => {
    const file = join(folder, 'text.so');
    writeFileSync(file, 'no library at all');
    expect(availability({ CHECKPOINT_ENGINE_NCCL_LIB: file })).toMatchObject({
      available: false,
      reason: expect.stringMatching(/^No usable libnccl\.so\.2 was found\n.*text\.so: .*(too short|invalid ELF)/),
    });
  });

  it('tries every known Python installation and reports each result', () => {
    const lib = join(folder, 'venv', 'lib', 'python3.12', 'site-packages', 'nvidia', 'nccl', 'lib');
    mkdirSync(lib, { recursive: true });
    const file = join(lib, 'libnccl.so.2');
    writeFileSync(file, 'no library either');
    const found = availability({ CHECKPOINT_ENGINE_NCCL_LIB: '', VIRTUAL_ENV: join(folder, 'venv') });
    if (found.available) return; // This machine has one.
    expect(found.reason).toContain('libnccl.so.2: cannot open shared object file');
    expect(found.reason).toContain(file);
  });
});

describe.skipIf(noCompiler !== '')(`with a library made for it${noCompiler && ` (skipped: ${noCompiler})`}`, () => {
  it('rejects a library other than NCCL and lists the missing functions', () => {
    const file = join(folder, 'libempty.so');
    writeFileSync(join(folder, 'empty.c'), 'int nothing_of_nccl(void) { return 0; }\n');
    execFileSync('cc', ['-shared', '-fPIC', '-o', file, join(folder, 'empty.c')]);
    const found = availability({ CHECKPOINT_ENGINE_NCCL_LIB: file });
    expect(found).toMatchObject({ available: false, reason: expect.stringContaining('lacks ncclGetVersion') });
  });

  it('rejects an old version, even if it lacks functions', () => {
    const file = join(folder, 'libold.so');
    writeFileSync(join(folder, 'old.c'), 'int ncclGetVersion(int* version) { *version = 2708; return 0; }\n');
    execFileSync('cc', ['-shared', '-fPIC', '-o', file, join(folder, 'old.c')]);
    const env = { CHECKPOINT_ENGINE_NCCL_LIB: file };
    expect(availability(env)).toMatchObject({
      available: false,
      reason: expect.stringContaining('libold.so is NCCL 2.7.8, but 2.18 is the oldest supported version'),
      hint: expect.stringContaining('Install NCCL 2.18 or later'),
    });
    expect(codeOfOpening(env)).toBe('CE_LIBRARY_TOO_OLD');
  });

  it('opens a version that is new enough', () => {
    const env = buildFakes();
    expect(availability(env)).toEqual({ available: true, path: env.CHECKPOINT_ENGINE_NCCL_LIB, version: '2.28.9' });
    expect(availability({ ...env, FAKE_NCCL_VERSION: '21703' })).toMatchObject({
      available: false,
      reason: expect.stringContaining('NCCL 2.17.3'),
    });
  });
});
