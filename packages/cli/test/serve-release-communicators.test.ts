import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { smallCheckpoint, temporaryFolder, tensorDigests } from './checkpoints.ts';
import { startTestWorker } from './demo-worker.ts';
import { rankProcesses } from './processes.ts';
import { startServer } from './serve-process.ts';

const { folder, remove } = await temporaryFolder();
const checkpoint = await smallCheckpoint(join(folder, 'step-1'));
afterAll(remove);

/** Sockets that a process has open: on the host device the broadcast group has one to each other rank. */
function socketCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;
}

async function countAround(name: string, flags: readonly string[]): Promise<number[][]> {
  const sockets = [0, 1].map((rank) => join(folder, `${name}-${rank}.sock`));
  const workers = await Promise.all(sockets.map((socket, rank) => startTestWorker(rank, socket)));
  const engines = ['--engine', 'worker', ...sockets.flatMap((socket) => ['--engine-uds', socket])];
  const args = ['--uds', join(folder, `${name}.sock`), '--nproc-per-node', '2', '--method', 'buckets'];
  const server = await startServer([...args, ...engines, ...flags]);
  const ranks = [...rankProcesses(server.running.child.pid!).values()];
  const counts: number[][] = [];
  try {
    await server.call('POST', '/v1/checkpoints/a/files', { files: [checkpoint] });
    await server.call('POST', '/v1/checkpoints/a/gather-metas');
    for (let update = 0; update < 2; update++) {
      expect((await server.call('POST', '/v1/checkpoints/a/update')).text).toBe('');
      counts.push(ranks.map(socketCount));
    }
    for (const worker of workers) expect(await worker.digests()).toEqual(await tensorDigests(checkpoint));
  } finally {
    server.running.child.kill('SIGTERM');
    await server.running.result;
    await Promise.all(workers.map((worker) => worker.close()));
  }
  return counts;
}

it('serve --release-communicators keeps no group of its ranks between updates', async () => {
  const kept = await countAround('kept', []);
  const released = await countAround('released', ['--release-communicators']);
  for (const [update, counts] of kept.entries()) {
    for (const [rank, count] of counts.entries()) expect(released[update]![rank]).toBe(count - 1);
  }
});
