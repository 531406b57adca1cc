import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { formatBytes } from '@checkpoint-engine/planner';
import { type FloorFigures, floor } from '../floors/floor-program.ts';
import { freePort } from '../report/free-port.ts';
import { describeMachine } from '../report/machine.ts';
import { median } from '../report/statistics.ts';
import { printTable } from '../report/table.ts';
import { message, start } from '../world/children.ts';
import type { RankFigures, RankTask } from '../world/rank-main.ts';
import { fileDigests } from './file-digests.ts';
import { type SyntheticCheckpoint, writeCheckpoint } from './synthetic-checkpoint.ts';

/** What `bench host` is asked to do. */
export interface HostScenarioOptions {
  readonly sizeBytes: number;
  readonly tensorBytes: number;
  readonly ranks: number;
  readonly updates: number;
  readonly bucketBytes?: number | undefined;
  readonly json?: string | undefined;
}

/** N ranks and N workers on the host device, beside plain threads that copy and read the same bytes. */
export async function hostScenario(options: HostScenarioOptions): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-bench-'));
  try {
    const tensorCount = Math.max(1, Math.round(options.sizeBytes / options.tensorBytes));
    const checkpoint = await writeCheckpoint(folder, Array<number>(tensorCount).fill(options.tensorBytes), 8);
    const threads = availableParallelism();
    const preadFloor = floor(['pread', String(threads), ...checkpoint.files]);
    const { ranks, wrong } = await runWorld(folder, checkpoint, options);
    const memcpyFloor = floor([
      'memcpy',
      String(checkpoint.sizeBytes),
      String(options.ranks),
      String(threads),
      options.ranks > 1 ? 'once' : 'each',
    ]);
    return await report(options, checkpoint, ranks, wrong, memcpyFloor, preadFloor);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runWorld(
  folder: string,
  checkpoint: SyntheticCheckpoint,
  { ranks: worldSize, updates, bucketBytes }: HostScenarioOptions,
): Promise<{ ranks: RankFigures[]; wrong: number }> {
  const children: ChildProcess[] = [];
  try {
    const sockets = Array.from({ length: worldSize }, (_, index) => join(folder, `worker-${index}.sock`));
    const workers = sockets.map((socket, index) => start('worker-main', [String(index), socket]));
    children.push(...workers);
    await Promise.all(workers.map((worker) => message(worker)));
    const port = await freePort();
    const running = sockets.map((workerSocket, rank) => {
      const { files } = checkpoint;
      const engine = { workerSocket };
      const task: RankTask = {
        rank,
        worldSize,
        port,
        files,
        device: 'host',
        engine,
        registers: 4,
        updates,
        bucketBytes,
      };
      return start('rank-main', [JSON.stringify(task)]);
    });
    children.push(...running);
    const ranks = await Promise.all(running.map((child) => message<RankFigures>(child)));
    const wanted = await fileDigests(checkpoint.files);
    let wrong = 0;
    for (const worker of workers) {
      const reply = message<Record<string, string>>(worker);
      worker.send('digests');
      const held = await reply;
      for (const [name, digest] of wanted) if (held[name] !== digest) wrong += 1;
      worker.send('stop');
    }
    return { ranks, wrong };
  } finally {
    for (const child of children) if (child.exitCode === null && child.connected === false) child.kill();
    setTimeout(() => {
      for (const child of children) child.kill('SIGKILL');
    }, 2_000).unref();
  }
}

async function report(
  options: HostScenarioOptions,
  checkpoint: SyntheticCheckpoint,
  ranks: readonly RankFigures[],
  wrong: number,
  memcpyFloor: FloorFigures,
  preadFloor: FloorFigures,
): Promise<boolean> {
  const device = await createHostDevice();
  const machine = describeMachine(device);
  await device.close();
  // A world's update is as slow as its slowest rank. The first round warms memory up on both sides.
  const updateMs = slowest(ranks, (rank) => rank.updateMs);
  const warmMs = median(updateMs.slice(1));
  const registerMs = slowest(ranks, (rank) => rank.registerMs);
  const warmRegisterMs = median(registerMs.slice(1));
  const copyFloorMs = median(memcpyFloor.seconds.slice(1)) * 1e3;
  const readFloorMs = median(preadFloor.seconds.slice(1)) * 1e3;
  const poolBytes = ranks.reduce((sum, rank) => sum + rank.poolBytes, 0);
  const last = ranks[0]!.results.at(-1)!;
  const figures = {
    version: 1,
    scenario: 'host',
    machine,
    ranks: options.ranks,
    sizeBytes: checkpoint.sizeBytes,
    tensorCount: checkpoint.tensorCount,
    bucketBytes: last.bucketBytes,
    ringSlots: last.ringSlots,
    updateMs,
    copyFloorMs,
    updateOfFloor: copyFloorMs / warmMs,
    registerMs,
    readFloorMs,
    registerOfFloor: readFloorMs / warmRegisterMs,
    poolOverhead: poolBytes / checkpoint.sizeBytes - 1,
    registerPauseMs: Math.max(...ranks.map((rank) => rank.registerPauseMs)),
    updatePauseMs: Math.max(...ranks.map((rank) => rank.updatePauseMs)),
    peakRssBytes: ranks.map((rank) => rank.peakRssBytes),
    wrong,
  };
  process.stdout.write(`${machine.cpu}, ${machine.cores} cores, ${machine.runtime}\n`);
  const perCent = (share: number): string => `${(share * 100).toFixed(0)} % of the floor`;
  printTable(
    ['what', 'measured', 'beside'],
    [
      [
        'world',
        `${options.ranks} ranks, ${options.ranks} workers`,
        `${formatBytes(checkpoint.sizeBytes)}, ${checkpoint.tensorCount} tensors`,
      ],
      [
        'register',
        registerMs.map((ms) => `${ms.toFixed(0)} ms`).join(', '),
        `pread ${readFloorMs.toFixed(0)} ms: ${perCent(figures.registerOfFloor)}`,
      ],
      ['update, first', `${updateMs[0]!.toFixed(0)} ms`, 'workers allocate their tensors'],
      [
        'update, later',
        updateMs
          .slice(1)
          .map((ms) => `${ms.toFixed(0)} ms`)
          .join(', '),
        `memcpy ${copyFloorMs.toFixed(0)} ms: ${perCent(figures.updateOfFloor)}`,
      ],
      ['buckets', `${last.bucketCount} of at most ${formatBytes(last.bucketBytes)}`, `${last.ringSlots} slots`],
      ['pool', formatBytes(poolBytes), `${(figures.poolOverhead * 100).toFixed(2)} % over the checkpoint`],
      ['peak RSS of a rank', formatBytes(Math.max(...figures.peakRssBytes)), 'shared memory included'],
      [
        'longest event-loop pause',
        `${figures.updatePauseMs.toFixed(0)} ms`,
        `during updates; ${figures.registerPauseMs.toFixed(0)} ms during registration`,
      ],
      ['#wrong', String(wrong), `of ${checkpoint.tensorCount * options.ranks} tensors (SHA-256)`],
    ],
  );
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(figures, undefined, 2)}\n`);
  return wrong === 0;
}

/** A world is as slow as its slowest rank, round by round. */
function slowest(ranks: readonly RankFigures[], of: (rank: RankFigures) => readonly number[]): number[] {
  return of(ranks[0]!).map((_, round) => Math.max(...ranks.map((rank) => of(rank)[round]!)));
}
