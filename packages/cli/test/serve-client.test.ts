// A client that public generators create from the server's OpenAPI document compiles, and runs an update.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { smallCheckpoint, temporaryFolder, tensorDigests } from './checkpoints.ts';
import { startTestWorker } from './demo-worker.ts';
import { startServer } from './serve-process.ts';

const PROJECT = fileURLToPath(new URL('../../../tools/api-client/', import.meta.url));
const bin = (name: string): string => join(PROJECT, 'node_modules', '.bin', name);
const { folder, remove } = await temporaryFolder();
afterAll(remove);

/** Runs a tool of the generated client's project; its output becomes the error if it fails. */
function run(tool: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(bin(tool), args, { cwd: PROJECT, encoding: 'utf8' });
  expect(status, stdout + stderr).toBe(0);
}

it('a generated client compiles and runs an update', async () => {
  const checkpoint = await smallCheckpoint(join(folder, 'step-1'));
  const socket = join(folder, 'worker.sock');
  const worker = await startTestWorker(0, socket);
  const server = await startServer(['--listen', '127.0.0.1:0', '--engine', 'worker', '--engine-uds', socket]);
  try {
    const document = join(folder, 'openapi.json');
    writeFileSync(document, (await server.call('GET', '/openapi.json')).text);
    run('openapi-typescript', [document, '--output', 'src/schema.d.ts', '--default-non-nullable', 'false']);
    run('tsc', []);
    const script = `import { driveUpdate } from '${pathToFileURL(join(PROJECT, 'dist', 'drive-update.js')).href}';
      console.log(JSON.stringify(await driveUpdate('${server.address}', '${checkpoint}')));`;
    const driven = spawnSync(execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
    expect(driven.stderr).toBe('');
    expect(JSON.parse(driven.stdout)).toEqual({
      isReady: true,
      unknownCode: 'CE_CHECKPOINT_UNKNOWN',
      tensorCount: (await tensorDigests(checkpoint)).size,
      state: 'succeeded',
      weightVersion: 'v1',
      requestedMethod: 'auto',
      method: 'buckets',
      neededBytes: [expect.any(Number)],
    });
    expect(await worker.digests()).toEqual(await tensorDigests(checkpoint));
  } finally {
    server.running.child.kill('SIGTERM');
    await server.running.result;
    await worker.close();
  }
});
