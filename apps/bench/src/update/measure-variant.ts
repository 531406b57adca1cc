import type { BenchCheckpoint } from '../checkpoints/bench-checkpoint.ts';
import type { EngineStats, WorkerClock } from '../world/engine-process.ts';
import type { RankUpdate, UpdateVariant } from '../world/rank.ts';
import type { Receiver } from '../world/receiver.ts';
import { corrupt, verify, workerClock } from '../world/receivers.ts';
import type { World } from '../world/world.ts';

/** Measurements of updates with one set of options. */
export interface VariantFigures {
  readonly variant: UpdateVariant;
  readonly warmupMs: readonly number[];
  /** Time of the slowest rank in each update. */
  readonly samplesMs: readonly number[];
  /** The results of all ranks in the last update. */
  readonly last: readonly RankUpdate[];
  readonly worker: WorkerClock | undefined;
  /** Peak device memory during an update, minus the memory in use before. None on the host. */
  readonly driverBytes: number | undefined;
  /** Growth of device memory over the updates, at the receiver with the most. Python engines only. */
  readonly growth: Growth | undefined;
  readonly checked: number;
  readonly wrong: number;
}

/** Device memory of the whole GPU, and open files of the engine. */
export interface Growth {
  readonly deviceBytes: number;
  readonly openFiles: number;
}

/** The number of updates, and the figures to record. */
export interface MeasureOptions {
  readonly updates: number;
  readonly warmups: number;
  readonly watchMemory: boolean;
}

/** A checkpoint, and the name under which the ranks have it. */
export type Registered = BenchCheckpoint & { readonly name: string };

/** Runs the requested number of updates. Before the last one, every byte in the receivers is made wrong. */
export async function measureVariant(
  world: World,
  all: readonly Receiver[],
  { name, ...checkpoint }: Registered,
  variant: UpdateVariant,
  { updates, warmups, watchMemory }: MeasureOptions,
): Promise<VariantFigures> {
  const receivers = variant.ranks === undefined ? all : variant.ranks.map((rank) => all[rank]!);
  const warmupMs: number[] = [];
  for (let round = 0; round < warmups; round++) warmupMs.push(slowest(await world.update(name, variant)));
  const driverBytes = watchMemory ? maxUsed(await world.update(name, variant, true)) : undefined;
  const before = await stats(receivers);
  const samplesMs: number[] = [];
  let last: RankUpdate[] = [];
  for (let round = 0; round < updates; round++) {
    if (round === updates - 1) await corrupt(receivers);
    last = await world.update(name, variant);
    samplesMs.push(slowest(last));
  }
  const worker = await workerClock(receivers);
  return {
    variant,
    warmupMs,
    samplesMs,
    last,
    worker,
    driverBytes,
    growth: growthOf(before, await stats(receivers)),
    ...(await verify(receivers, checkpoint)),
  };
}

const stats = (receivers: readonly Receiver[]): Promise<(EngineStats | undefined)[]> =>
  Promise.all(receivers.map((receiver) => receiver.stats()));

function growthOf(
  before: readonly (EngineStats | undefined)[],
  after: readonly (EngineStats | undefined)[],
): Growth | undefined {
  const most = (of: (stats: EngineStats) => number): number =>
    Math.max(...after.map((one, index) => (one && before[index] ? of(one) - of(before[index]) : 0)));
  if (before.some((one) => one === undefined)) return undefined;
  return { deviceBytes: most((one) => one.device_used_bytes), openFiles: most((one) => one.open_files) };
}

const slowest = (ranks: readonly RankUpdate[]): number => Math.max(...ranks.map(({ updateMs }) => updateMs));

const maxUsed = (ranks: readonly RankUpdate[]): number =>
  Math.max(...ranks.map(({ usedPeakBytes = 0, usedBeforeBytes = 0 }) => usedPeakBytes - usedBeforeBytes));
