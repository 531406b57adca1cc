// The tests of the Python package that need the engines' libraries: torch and vLLM, and SGLang's own `WeightUpdater`.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { fetchedPackages } from '../../test/python.ts';
import { findEnvironment } from './environment.ts';

const WORKER = fileURLToPath(new URL('../../../python/worker', import.meta.url));
/** Packages that the tests import and that vLLM's environment lacks. */
const NEEDS = fileURLToPath(new URL('../receiver-requirements.txt', import.meta.url));
/** The release that `tools/python/make-engines.sh` fetches. */
const SGLANG = fetchedPackages('sglang').find(({ version }) => version === '0.5.23');

const found = findEnvironment();
if ('reason' in found && process.env.REQUIRE_ENGINES) throw new Error(found.reason);
const python = 'folder' in found ? join(found.folder, 'bin/python') : '';
const work = mkdtempSync(join(tmpdir(), 'ce-receiver-'));
const needs = join(work, 'needs');
const reason = 'reason' in found ? found.reason : installNeeds();
if (reason !== undefined) console.warn(`skipped: the tests of python/worker with torch: ${reason}`);
if (SGLANG === undefined) console.warn('skipped: the sources of SGLang are missing: run tools/python/make-engines.sh');

/** Returns the reason why they cannot be installed. */
function installNeeds(): string | undefined {
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', '--no-deps'];
  const wheels = ['--only-binary', ':all:', '--retries', '1', '--target', needs, '--requirement', NEEDS];
  const { status, stderr } = spawnSync(python, [...pip, ...wheels], { encoding: 'utf8', timeout: 120_000 });
  return status === 0 ? undefined : `pip cannot install ${NEEDS}: ${stderr.trim().split('\n').at(-1)}`;
}

function pytest(tests: readonly string[], folders: readonly string[]): string {
  const own = { PYTHONPATH: folders.join(':'), PYTHONDONTWRITEBYTECODE: '1', XDG_CACHE_HOME: join(work, 'cache') };
  const options = { cwd: WORKER, env: { ...process.env, ...own }, encoding: 'utf8', maxBuffer: 64 << 20 } as const;
  const { status, stdout, stderr } = spawnSync(python, ['-m', 'pytest', '-rs', ...tests], options);
  expect(status, stdout + stderr).toBe(0);
  return stdout;
}

afterAll(() => rmSync(work, { recursive: true, force: true }));

describe.skipIf(reason !== undefined)('checkpoint-engine-worker, in the environment of an engine', () => {
  it('passes the tests that need torch and vLLM', { timeout: 900_000 }, () => {
    const output = pytest(['--ignore', 'tests/test_sglang_plugin.py', 'tests'], [needs]);
    expect(output).toMatch(/\d{3} passed/);
    expect(output).not.toMatch(/could not import '(numpy|torch|triton|vllm)|not installed/);
  });

  it.skipIf(SGLANG === undefined)(
    "receives through SGLang's own WeightUpdater, on torch for CPUs",
    { timeout: 900_000 },
    () => {
      const output = pytest(['tests/test_sglang_plugin.py'], [SGLANG!.folder, needs]);
      expect(output).toMatch(/\d passed/);
      expect(output).not.toMatch(/skipped/);
    },
  );
});
