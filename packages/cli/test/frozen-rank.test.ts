import { join } from 'node:path';
import { afterAll, describe, it, type TestContext } from 'vitest';
import { smallCheckpoint, temporaryFolder } from './checkpoints.ts';
import { startTestWorker } from './demo-worker.ts';
import { rankProcesses, runs } from './processes.ts';
import { parseJson, startCli } from './run-cli.ts';
import { startServer, type TestServer } from './serve-process.ts';
import { startSilentEngine } from './silent-engine.ts';

const { folder, remove } = await temporaryFolder();
const checkpoint = await smallCheckpoint(join(folder, 'step-1'), 'one');
afterAll(remove);

let sockets = 0;
const socketPath = (): string => join(folder, `${sockets++}.sock`);

/** A server that has gathered a checkpoint, and a worker for each rank. */
const serve = async (nproc: number, { expect, onTestFinished }: TestContext): Promise<TestServer> => {
  const paths = Array.from({ length: nproc }, socketPath);
  const workers = await Promise.all(paths.map((path, index) => startTestWorker(index, path)));
  onTestFinished(async () => {
    await Promise.all(workers.map((worker) => worker.close()));
  });
  const engines = ['--engine', 'worker', ...paths.flatMap((path) => ['--engine-uds', path])];
  const server = await startServer(['--uds', socketPath(), '--nproc-per-node', `${nproc}`, ...engines]);
  onTestFinished(async () => {
    server.running.child.kill('SIGKILL');
    await server.running.result;
  });
  expect((await server.call('POST', '/v1/checkpoints/a/files', { files: [checkpoint] })).status).toBe(200);
  expect((await server.call('POST', '/v1/checkpoints/a/gather-metas')).status).toBe(200);
  return server;
};
const freeze = (server: TestServer, rank: number): number => {
  const pid = rankProcesses(server.running.child.pid!).get(rank)!;
  process.kill(pid, 'SIGSTOP');
  return pid;
};
const readiness = async (server: TestServer): Promise<number> => (await server.call('GET', '/v1/readyz')).status;

// These tests wait for time limits of the product, so they run at the same time.
describe.concurrent('a frozen rank of serve', () => {
  it.for([1, 2])(
    'is replaced, and an update in a world of %i ends with its time-out',
    { timeout: 300_000 },
    async (nproc, context) => {
      const { expect } = context;
      const server = await serve(nproc, context);
      const pid = freeze(server, nproc - 1);
      const answer = await server.call('POST', '/v1/checkpoints/a/update', { timeout: 1 });
      expect(answer.status).toBe(504);
      expect(answer.json()).toMatchObject({ code: 'CE_TIMEOUT', rank: nproc - 1 });
      await expect.poll(() => readiness(server)).toBe(200);
      expect(runs(pid)).toBe(false);
      // Its checkpoints were registered again.
      expect((await server.call('POST', '/v1/checkpoints/a/update', { timeout: 60 })).status).toBe(200);
    },
  );

  it('turns readyz false, and no call waits for it for long', { timeout: 300_000 }, async (context) => {
    const { expect } = context;
    const server = await serve(2, context);
    freeze(server, 0);
    const calls = [
      server.call('GET', '/v1/checkpoints/a/metas'),
      server.call('POST', '/v1/checkpoints/a/gather-metas'),
      server.call('POST', '/v1/checkpoints/b/files', { files: [checkpoint] }),
      server.call('DELETE', '/v1/checkpoints/a'),
    ];
    await expect.poll(() => readiness(server)).toBe(503);
    const [metas, gathered, registered, deleted] = await Promise.all(calls);
    expect(metas).toMatchObject({ status: 503 });
    expect(metas!.json()).toMatchObject({ code: 'CE_RANK_LOST', rank: 0 });
    // Calls that waited for it reach its replacement.
    expect(gathered!.status).toBe(200);
    expect([200, 503]).toContain(registered!.status);
    expect(deleted!.status).toBe(200);
    expect((await server.call('GET', '/v1/readyz')).json()).toMatchObject({
      ranks: [{ restarts: 1 }, { restarts: 0 }],
    });
  });

  it('restarts if the world continued without it while it was frozen', {
    timeout: 300_000,
  }, async (context) => {
    const { expect } = context;
    const server = await serve(2, context);
    const pid = freeze(server, 1);
    await server.running.untilPrinted(/Rank 1 has been silent/);
    process.kill(pid, 'SIGCONT');
    await server.running.untilPrinted(/A rank has recovered/);
    await expect.poll(() => readiness(server)).toBe(200);
    expect((await server.call('POST', '/v1/checkpoints/a/update', { timeout: 60 })).status).toBe(200);
  });
});

describe.concurrent('a frozen rank of update', () => {
  it('ends the update with an error that names the rank', { timeout: 300_000 }, async ({ expect, onTestFinished }) => {
    const socket = socketPath();
    const engine = await startSilentEngine(socket);
    onTestFinished(() => engine.close());
    const args = ['--checkpoint-path', checkpoint, '--engine', 'worker', '--uds', socket, '--timeout', '3600'];
    const running = startCli(['update', ...args, '--device', 'host', '--nproc-per-node', '2', '--json']);
    onTestFinished(() => void running.child.kill('SIGKILL'));
    await engine.asked;
    const ranks = rankProcesses(running.child.pid!);
    process.kill(ranks.get(0)!, 'SIGSTOP');
    const result = await running.result;
    expect(result.code).toBe(1);
    expect(parseJson(result)).toMatchObject({ ok: false, error: { code: 'CE_RANK_LOST' } });
    expect([...ranks.values()].filter(runs)).toEqual([]);
  });
});
