import { setTimeout as sleep } from 'node:timers/promises';
import type { SyntheticCheckpoint } from '../checkpoints/synthetic-checkpoint.ts';
import type { LoopPauses } from '../report/loop-watch.ts';
import type { RankUpdate } from '../world/rank.ts';
import { startReceivers, stopReceivers, verify } from '../world/receivers.ts';
import { World } from '../world/world.ts';
import { type MemoryPeaks, MemorySampler, ownBytesOf } from './memory-sampler.ts';

/** Number of updates whose event loops and memory are observed, after the timed ones. */
const WATCHED_UPDATES = 3;
/** The system frees memory in the background. The next registration starts after this time. */
const SETTLE_MS = 100;
const NAME = 'weights';

/** The work of the ranks of a world on the host device. */
export interface MeasureHostOptions {
  readonly ranks: number;
  readonly registers: number;
  readonly updates: number;
  readonly bucketBytes?: number | undefined;
  /** Called before each registration, while the ranks are idle. */
  readonly beforeRegister: () => Promise<void>;
  /** Called before each timed update, while the ranks are idle. */
  readonly beforeUpdate: () => Promise<void>;
}

/** The measurements. Times are those of the slowest rank. */
export interface HostFigures {
  readonly registerMs: readonly number[];
  readonly gatherMs: number;
  readonly updateMs: readonly number[];
  /** The last timed update, as observed by every rank. */
  readonly last: readonly RankUpdate[];
  /** Time on a core of the JavaScript thread, of every rank and timed update but the first. */
  readonly busyMs: readonly number[];
  readonly planMs: number;
  readonly poolBytes: readonly number[];
  readonly registerPauses: LoopPauses;
  readonly updatePauses: LoopPauses;
  readonly peakResidentBytes: number;
  /** For the ranks, then for the workers. */
  readonly memory: MemoryPeaks;
  /** Private memory of each rank before it registered anything, and of each worker before it received anything. */
  readonly rankBaseBytes: readonly number[];
  readonly workerBaseBytes: readonly number[];
  readonly checked: number;
  readonly wrong: number;
}

/**
 * Registers and updates the requested number of times, with one process per rank and worker. Then compares every byte.
 */
export async function measureHost(
  folder: string,
  { files }: SyntheticCheckpoint,
  { ranks, registers, updates, bucketBytes, beforeRegister, beforeUpdate }: MeasureHostOptions,
): Promise<HostFigures> {
  const receivers = await startReceivers({ device: 'host', receiver: 'ours', python: '', ranks });
  let world: World | undefined;
  try {
    world = await World.start(
      { device: 'host' },
      receivers.map(({ engine }) => ({ engine })),
    );
    const workerPids = receivers.map(({ pid }) => pid);
    const rankBaseBytes = world.pids.map(ownBytesOf);
    const workerBaseBytes = workerPids.map(ownBytesOf);
    const sampler = new MemorySampler([...world.pids, ...workerPids]);
    sampler.start();
    const registerMs: number[] = [];
    let poolBytes: readonly number[] = [];
    for (let round = 0; round < registers; round++) {
      if (round > 0) {
        await world.unregister(NAME);
        await sleep(SETTLE_MS);
      }
      await beforeRegister();
      await world.watch(true);
      const registered = await world.register(NAME, files);
      await world.watch(false);
      registerMs.push(registered.durationMs);
      poolBytes = registered.poolBytes;
    }
    const registerPauses = worstPauses((await world.usage()).map(({ pauses }) => pauses));
    const { durationMs: gatherMs } = await world.gather(NAME);
    const rounds: RankUpdate[][] = [];
    for (let round = 0; round < updates; round++) {
      if (round > 0) sampler.stop(); // The first one is a warm-up.
      await beforeUpdate();
      rounds.push(await world.update(NAME, { bucketBytes }));
    }
    sampler.start();
    await world.watch(true);
    for (let round = 0; round < WATCHED_UPDATES; round++) await world.update(NAME, { bucketBytes });
    await world.watch(false);
    sampler.stop();
    const usage = await world.usage();
    return {
      registerMs,
      gatherMs,
      updateMs: rounds.map((round) => Math.max(...round.map(({ updateMs }) => updateMs))),
      last: rounds.at(-1)!,
      busyMs: rounds.slice(1).flatMap((round) => round.map(({ busyMs }) => busyMs)),
      planMs: Math.max(...rounds[0]!.map(({ result }) => result.durationsMs.plan)),
      poolBytes,
      registerPauses,
      updatePauses: worstPauses(usage.map(({ pauses }) => pauses)),
      peakResidentBytes: Math.max(...usage.map(({ peakResidentBytes }) => peakResidentBytes)),
      memory: sampler.peaks,
      rankBaseBytes,
      workerBaseBytes,
      ...(await verify(receivers, { folder, files })),
    };
  } finally {
    await world?.end();
    await stopReceivers(receivers);
  }
}

/** The longest pauses of any of several event loops. */
function worstPauses(all: readonly LoopPauses[]): LoopPauses {
  const most = (name: keyof LoopPauses): number => Math.max(...all.map((one) => one[name]));
  return { longestMs: most('longestMs'), busyMs: most('busyMs'), waitedMs: most('waitedMs') };
}
