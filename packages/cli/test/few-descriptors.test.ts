import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { smallCheckpoint, temporaryFolder } from './checkpoints.ts';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const { folder, remove } = await temporaryFolder();
afterAll(remove);

/** Runs a command that may open this many files. */
function run(limit: number, args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const command = `ulimit -n ${limit}; exec "$0" "$@"`;
  return spawnSync('bash', ['-c', command, execPath, MAIN, ...args], { encoding: 'utf8', timeout: 120_000 });
}

it.each([24, 28, 32])('inspect with %i files says what to raise, without a stack', (limit) => {
  const { status, stderr } = run(limit, ['inspect', folder]);
  expect(status).toBe(1);
  expect(stderr).toContain(`which is ${limit}`);
  expect(stderr).toMatch(/ulimit -n.*\n.*Code: CE_FILE_UNREADABLE/);
  expect(stderr).not.toMatch(/^\s+at /m);
});

// If the modules can be loaded, the update fails later, because no engine is running.
it.each([48, 64, 96, 128])('update with %i files fails with the limit, also in its ranks', async (limit) => {
  const checkpoint = await smallCheckpoint(join(folder, `step-${limit}`));
  const world = ['--device', 'host', '--nproc-per-node', '2', '--engine', 'worker', '--endpoint', 'http://127.0.0.1:9'];
  const { status, stdout, stderr } = run(limit, [
    'update',
    '--checkpoint-path',
    checkpoint,
    ...world,
    '--timeout',
    '2',
    '--json',
  ]);
  expect(status).toBe(1);
  expect(stderr).not.toMatch(/^\s+at /m);
  const { error } = JSON.parse(stdout) as { error: { code: string; hint: string } };
  expect(['CE_FILE_UNREADABLE', 'CE_ENGINE_UNREACHABLE']).toContain(error.code);
  if (error.code === 'CE_FILE_UNREADABLE') expect(error.hint).toContain('ulimit -n');
});
