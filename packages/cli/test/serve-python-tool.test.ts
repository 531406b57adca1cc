// A client of the Python tool's HTTP API, built from the tool's own routes and request models. Only the address
// differs.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { python, pythonTool } from '../../../tools/test/python.ts';
import { smallCheckpoint, temporaryFolder, tensorDigests } from './checkpoints.ts';
import { startTestWorker } from './demo-worker.ts';
import { startServer } from './serve-process.ts';

const { reason, env } = pythonTool();
const script = fileURLToPath(new URL('python-tool-flow.py', import.meta.url));
const { folder, remove } = await temporaryFolder();
afterAll(remove);

describe.skipIf(reason)(`clients of the Python tool${reason ? ` (skipped: ${reason})` : ''}`, () => {
  it('work with the parts of the API that they use', async () => {
    const checkpoint = await smallCheckpoint(join(folder, 'step-1'));
    const [socket, engine] = [join(folder, 'api.sock'), join(folder, 'worker.sock')];
    const worker = await startTestWorker(0, engine);
    const server = await startServer(['--uds', socket, '--engine', 'worker']);
    try {
      const { stdout, stderr, status } = spawnSync(python, [script, socket, checkpoint, engine], {
        encoding: 'utf8',
        env,
      });
      expect(status, stderr).toBe(0);
      const replies = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { call: string; status: number; body: string });
      for (const reply of replies.slice(0, -1)) expect(reply).toMatchObject({ status: 200, body: '' });
      // The tool answers errors with 500 and a JSON string, this server with problem details.
      expect(replies).toHaveLength(7);
      expect(replies.at(-1)).toMatchObject({ status: 404, body: expect.stringContaining('CE_CHECKPOINT_UNKNOWN') });
      expect(await worker.digests()).toEqual(await tensorDigests(checkpoint));
    } finally {
      server.running.child.kill('SIGTERM');
      await server.running.result;
      await worker.close();
    }
  });
});
