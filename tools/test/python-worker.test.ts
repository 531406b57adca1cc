// The Python package: style, types, tests, and the files for publishing. Needs tools/python/make-env.sh.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const bin = join(root, 'tools/python/.venv/bin');
const folder = join(root, 'python/worker');

const isThere = existsSync(join(bin, 'hatchling')) && existsSync(join(bin, 'mypy'));
if (!isThere) console.warn('skipped: no Python tools, see tools/python/make-env.sh');

function run(program: string, args: readonly string[]): { status: number | null; output: string } {
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', RUFF_NO_CACHE: 'true', MYPY_CACHE_DIR: '/dev/null' };
  const { status, stdout, stderr } = spawnSync(join(bin, program), args, { cwd: folder, encoding: 'utf8', env });
  return { status, output: stdout + stderr };
}

describe.skipIf(!isThere)('python/worker', () => {
  let out: string;
  beforeAll(() => {
    out = mkdtempSync(join(tmpdir(), 'ce-python-'));
  });
  afterAll(() => rmSync(out, { recursive: true, force: true }));

  it.each([
    ['ruff', ['check', '.']],
    ['ruff', ['format', '--check', '.']],
    ['mypy', []],
    ['python', ['-m', 'pytest', '--quiet']],
  ])(
    'passes %s %j',
    (program, args) => {
      const { status, output } = run(program, args);
      expect(status, output).toBe(0);
    },
    240_000,
  );

  it('has the version of the packages that use its protocol', () => {
    execFileSync(process.execPath, [join(root, 'tools/release/sync-python-version.mjs'), '--check']);
  });

  it('is built as a wheel and an sdist that are ready for publishing', () => {
    execFileSync(process.execPath, [join(root, 'tools/release/pack-python.mjs'), out, join(bin, 'hatchling')]);
    const built = readdirSync(out).toSorted();
    expect(built).toEqual([
      expect.stringMatching(/^checkpoint_engine_worker-[\d.]+-py3-none-any\.whl$/),
      expect.stringMatching(/^checkpoint_engine_worker-[\d.]+\.tar\.gz$/),
    ]);
  }, 60_000);

  it('can be installed into an empty environment, and then reports what is missing', () => {
    const bare = join(out, 'bare');
    execFileSync(join(bin, 'python'), ['-m', 'venv', bare]);
    const wheel = readdirSync(out).find((name) => name.endsWith('.whl'))!;
    const pip = ['-m', 'pip', 'install', '--quiet', '--no-index', '--disable-pip-version-check', join(out, wheel)];
    execFileSync(join(bare, 'bin/python'), pip);
    const code =
      "import checkpoint_engine_worker as w; print(w.PROTOCOL_VERSION); from checkpoint_engine_worker.tensors.dtypes import torch_dtype; torch_dtype('a', 'F32')";
    const { stdout, stderr, status } = spawnSync(join(bare, 'bin/python'), ['-c', code], { encoding: 'utf8' });
    expect(stdout).toBe('2\n');
    expect(status).toBe(1);
    expect(stderr).toMatch(/CE_PACKAGE_NOT_FOUND: torch cannot be imported.*Install checkpoint-engine-worker into the/);
  }, 60_000);
});
