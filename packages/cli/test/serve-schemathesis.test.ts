// Schemathesis against the running server: for any request, the answer matches the OpenAPI document and is not an
// internal error.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { python, reasonToSkip } from '../../../tools/test/python.ts';
import { smallCheckpoint, temporaryFolder } from './checkpoints.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';
import { startServer, type TestServer } from './serve-process.ts';

const reason = reasonToSkip('schemathesis');
// 422: the named files must exist. 502 and 504: there is no engine.
const CONFIG = `
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422, 502, 504]
not_a_server_error.expected-statuses = ["2xx", "4xx", 502, 504]
`;

describe.skipIf(reason)(`schemathesis${reason ? ` (skipped: ${reason})` : ''}`, () => {
  let folder: string;
  let remove: () => Promise<void>;
  let worker: TestWorker;
  let server: TestServer;

  beforeAll(async () => {
    ({ folder, remove } = await temporaryFolder());
    const socket = join(folder, 'worker.sock');
    worker = await startTestWorker(0, socket);
    server = await startServer(['--listen', '127.0.0.1:0', '--engine', 'worker', '--engine-uds', socket]);
  });

  afterAll(async () => {
    server?.running.child.kill('SIGTERM');
    await server?.running.result;
    await worker?.close();
    await remove?.();
  });

  function schemathesis(config: string, ...args: string[]): void {
    const file = join(folder, 'schemathesis.toml');
    writeFileSync(file, config + CONFIG);
    const command = ['--config-file', file, 'run', `${server.address}/openapi.json`, '--checks', 'all', '--seed', '1'];
    // The event stream lasts as long as an update.
    command.push('--exclude-path', '/v1/updates/{id}/events', '--suppress-health-check', 'all', ...args);
    const { status, stdout, stderr } = spawnSync(join(dirname(python), 'schemathesis'), command, {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(status, stdout + stderr).toBe(0);
  }

  it('finds no faults if the server has no checkpoint', () => {
    schemathesis('', '--phases', 'examples,coverage,fuzzing', '--max-examples', '10');
  });

  it('finds no faults if there is a checkpoint to show and to update', async () => {
    const files = [await smallCheckpoint(join(folder, 'step-100'), 'a', 2 ** 20)];
    expect((await server.call('POST', '/v1/checkpoints/step-100/files', { files })).status).toBe(200);
    expect((await server.call('POST', '/v1/checkpoints/step-100/gather-metas')).status).toBe(200);
    schemathesis('[parameters]\nname = "step-100"\n', '--phases', 'examples,coverage', '--exclude-method', 'DELETE');
  });
});
