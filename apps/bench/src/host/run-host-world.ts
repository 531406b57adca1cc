import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { freePort } from '@checkpoint-engine/cli';
import { message, start } from '../world/children.ts';
import type { RankFigures, RankTask } from '../world/rank-main.ts';
import { fileDigests } from './file-digests.ts';
import { type MemoryPeaks, MemorySampler, ownBytesOf } from './memory-sampler.ts';
import type { SyntheticCheckpoint } from './synthetic-checkpoint.ts';

/** Updates whose event loops and memory are watched, after those that are timed. */
const WATCHED_UPDATES = 3;

/** What the ranks of a world on the host device are asked to do. */
export interface HostWorldOptions {
  readonly ranks: number;
  readonly registers: number;
  readonly updates: number;
  readonly bucketBytes?: number | undefined;
  /** Called before each registration, while the ranks do nothing. */
  readonly beforeRegister: () => Promise<void>;
  /** Likewise before each timed update. */
  readonly beforeUpdate: () => Promise<void>;
}

/** What came of it. */
export interface HostWorldFigures {
  readonly ranks: readonly RankFigures[];
  /** Of the ranks, then the workers. */
  readonly memory: MemoryPeaks;
  /** Of each worker, of its own, before it received anything. */
  readonly workerBaseBytes: readonly number[];
  /** Tensors whose SHA-256 in a worker is not that in the file. */
  readonly wrong: number;
}

/** N ranks and N workers, a process each, bring a checkpoint in as often as asked; then every byte is compared. */
export async function runHostWorld(
  folder: string,
  { files }: SyntheticCheckpoint,
  { ranks: worldSize, registers, updates, bucketBytes, beforeRegister, beforeUpdate }: HostWorldOptions,
): Promise<HostWorldFigures> {
  const children: ChildProcess[] = [];
  try {
    const sockets = Array.from({ length: worldSize }, (_, index) => join(folder, `worker-${index}.sock`));
    const workers = sockets.map((socket, index) => start('worker-main', [String(index), socket]));
    children.push(...workers);
    await Promise.all(workers.map((worker) => message(worker)));
    const port = await freePort();
    const running = sockets.map((workerSocket, rank) => {
      const engine = { workerSocket };
      const task: RankTask = {
        ...{ rank, worldSize, port, files, device: 'host', engine, registers, updates, bucketBytes },
        waits: true,
        watchedUpdates: WATCHED_UPDATES,
      };
      return start('rank-main', [JSON.stringify(task)]);
    });
    children.push(...running);
    const workerBaseBytes = workers.map(({ pid }) => ownBytesOf(pid!));
    const sampler = new MemorySampler([...running, ...workers].map(({ pid }) => pid!));
    const turns = async (count: number, before: (turn: number) => Promise<void>): Promise<void> => {
      for (let turn = 0; turn < count; turn++) {
        await Promise.all(running.map((child) => message(child)));
        await before(turn);
        for (const child of running) child.send('go on');
      }
    };
    sampler.start();
    await turns(registers, beforeRegister);
    await turns(updates, async (turn) => {
      if (turn > 0) sampler.stop(); // the first one warms up
      await beforeUpdate();
    });
    await turns(WATCHED_UPDATES, async () => sampler.start());
    const ranks = await Promise.all(running.map((child) => message<RankFigures>(child)));
    sampler.stop();
    const memory = sampler.peaks;
    return { ranks, memory, workerBaseBytes, wrong: await countWrong(workers, await fileDigests(files)) };
  } finally {
    for (const child of children) if (child.exitCode === null && child.connected === false) child.kill();
    setTimeout(() => {
      for (const child of children) child.kill('SIGKILL');
    }, 2_000).unref();
  }
}

async function countWrong(workers: readonly ChildProcess[], wanted: ReadonlyMap<string, string>): Promise<number> {
  let wrong = 0;
  for (const worker of workers) {
    const reply = message<Record<string, string>>(worker);
    worker.send('digests');
    const held = await reply;
    for (const [name, digest] of wanted) if (held[name] !== digest) wrong += 1;
    worker.send('stop');
  }
  return wrong;
}
