// Takes minutes; PACE_ROUNDS sets the rounds per mode (6), PACE_MAX_TIMES the bound (1.2).
// Checks that 64 unauthenticated connections to the HTTP port of `serve` do not slow down updates. The package
// @checkpoint-engine/ps has the same test for the other addresses.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { expectPace, MODES, type PacedWorld, pinWorld, warmUp } from '../../ps/test/support/pace.ts';
import { smallCheckpoint, temporaryFolder } from './checkpoints.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';
import { rankProcesses } from './processes.ts';
import { startServer, type TestServer } from './serve-process.ts';

describe.each([{ token: undefined }, { token: 'secret-of-the-test-0123456789abcdef' }])(
  'with unknown peers at the HTTP port, token $token',
  ({ token }) => {
    let folder: Awaited<ReturnType<typeof temporaryFolder>>;
    let server: TestServer;
    let workers: TestWorker[];
    let paced: PacedWorld;

    beforeAll(async () => {
      folder = await temporaryFolder();
      const checkpoint = await smallCheckpoint(join(folder.folder, 'step-1'), 'one');
      const sockets = [0, 1].map((index) => join(folder.folder, `${index}.sock`));
      workers = await Promise.all(sockets.map((socket, index) => startTestWorker(index, socket)));
      const port = await freePort();
      const engines = sockets.flatMap((socket) => ['--engine-uds', socket]);
      const env = token === undefined ? {} : { CHECKPOINT_ENGINE_TOKEN: token };
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const args = [
        '--allow-path',
        folder.folder,
        '--listen',
        `127.0.0.1:${port}`,
        '--nproc-per-node',
        '2',
        '--engine',
        'worker',
        ...engines,
      ];
      server = await startServer(args, { env });
      const ask = async (path: string, body: object = {}): Promise<void> => {
        const { status, text } = await server.call('POST', `/v1/checkpoints/a/${path}`, body, headers);
        expect([status, text]).toEqual([200, '']);
      };
      const pid = server.running.child.pid!;
      const pids = [pid, ...rankProcesses(pid).values(), ...childrenOf(process.pid).filter((child) => child !== pid)];
      pinWorld(pids);
      await ask('files', { files: [checkpoint] });
      await ask('gather-metas');
      paced = { what: `HTTP with token ${token}`, pids, address: { port, head: 'GET /' }, update: () => ask('update') };
      await warmUp(paced);
    }, 120_000);
    afterAll(async () => {
      server?.running.child.kill('SIGTERM');
      await server?.running.result;
      await Promise.all((workers ?? []).map((worker) => worker.close()));
      await folder?.remove();
    });

    it.each(MODES)('keeps its pace while they are %s', (mode) => expectPace(paced, mode));
  },
);

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
}
