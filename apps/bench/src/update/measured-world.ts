import { freePort } from '@checkpoint-engine/cli';
import { countGpus } from '../world/count-gpus.ts';
import { DrivenProcess } from '../world/driven-process.ts';
import type { RankIdentity } from '../world/open-rank.ts';
import { ourReceiver, pythonReceiver, type Receiver } from '../world/receiver.ts';
import { sharedGpu } from '../world/shared-gpu.ts';
import type { WorkerClock } from './engine-process.ts';
import type { MeasuredRankCalls, MeasuredRankTask, MeasuredUpdate, RankStart, UpdateVariant } from './measured-rank.ts';

/** Which world is measured. */
export interface WorldOptions {
  readonly device: 'cuda' | 'host';
  readonly receiver: 'python' | 'ours';
  readonly python: string;
  /** More than GPUs share them: right bytes, not speed. */
  readonly ranks: number;
}

/** Ranks in processes of their own. */
export class MeasuredWorld {
  /** When each rank's process was asked for, milliseconds since the epoch. */
  readonly askedForAtMs: readonly number[];
  readonly #ranks: readonly DrivenProcess<MeasuredRankCalls>[];

  private constructor(ranks: readonly DrivenProcess<MeasuredRankCalls>[], askedForAtMs: readonly number[]) {
    this.#ranks = ranks;
    this.askedForAtMs = askedForAtMs;
  }

  /** Starts a rank for each engine; resolves when every one has joined. */
  static async start(
    { device: kind }: Pick<WorldOptions, 'device'>,
    engines: readonly RankIdentity['engine'][],
  ): Promise<MeasuredWorld> {
    const gpus = kind === 'cuda' ? await countGpus() : engines.length;
    const port = await freePort();
    const askedForAtMs: number[] = [];
    const starting = engines.map((engine, rank) => {
      const device = kind === 'cuda' ? rank % gpus : 'host';
      const task: MeasuredRankTask = { rank, worldSize: engines.length, port, device, engine };
      askedForAtMs.push(Date.now());
      return DrivenProcess.start<MeasuredRankCalls>(
        '../update/measured-rank-main',
        task,
        engines.length > gpus ? sharedGpu(rank) : {},
      );
    });
    return new MeasuredWorld(await Promise.all(starting), askedForAtMs);
  }

  started(): Promise<RankStart[]> {
    return Promise.all(this.#ranks.map((rank) => rank.call('started', null)));
  }

  /** Gives the milliseconds of the slowest rank and the bytes of all pools. */
  async register(checkpoint: string, files: readonly string[]): Promise<{ durationMs: number; poolBytes: number }> {
    const all = await Promise.all(this.#ranks.map((rank) => rank.call('register', { checkpoint, files })));
    return {
      durationMs: Math.max(...all.map(({ durationMs }) => durationMs)),
      poolBytes: all.reduce((sum, { poolBytes }) => sum + poolBytes, 0),
    };
  }

  async unregister(checkpoint: string): Promise<void> {
    await Promise.all(this.#ranks.map((rank) => rank.call('unregister', { checkpoint })));
  }

  /** Milliseconds of the slowest rank. */
  async gather(checkpoint: string): Promise<number> {
    return Math.max(...(await Promise.all(this.#ranks.map((rank) => rank.call('gather', { checkpoint })))));
  }

  /** One update, as every rank saw it. */
  update(checkpoint: string, variant: UpdateVariant, watchMemory = false): Promise<MeasuredUpdate[]> {
    return Promise.all(this.#ranks.map((rank) => rank.call('update', { checkpoint, variant, watchMemory })));
  }

  async peakRssBytes(): Promise<number> {
    return Math.max(...(await Promise.all(this.#ranks.map((rank) => rank.call('peakRssBytes', null)))));
  }

  /** Ends the ranks; the receivers stay. */
  async end(): Promise<void> {
    await Promise.all(this.#ranks.map((rank) => rank.end()));
  }
}

/** One receiver for each rank. */
export async function startReceivers(options: WorldOptions): Promise<Receiver[]> {
  const gpus = options.device === 'cuda' ? await countGpus() : options.ranks;
  const started = Array.from({ length: options.ranks }, (_, rank) =>
    options.receiver === 'python' && options.device === 'cuda'
      ? pythonReceiver(options.python, rank % gpus)
      : ourReceiver(options.device, rank % gpus),
  );
  const all = await Promise.allSettled(started);
  const failed = all.find((one) => one.status === 'rejected');
  const receivers = all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  if (failed === undefined) return receivers;
  await stopReceivers(receivers);
  throw failed.reason;
}

export async function stopReceivers(receivers: readonly Receiver[]): Promise<void> {
  await Promise.all(receivers.map((receiver) => receiver.stop()));
}

/** Makes all that the receivers hold wrong. */
export async function spoil(receivers: readonly Receiver[]): Promise<void> {
  await Promise.all(receivers.map((receiver) => receiver.spoil()));
}

/** Tensors compared and tensors wrong, in all receivers together. */
export async function verify(
  receivers: readonly Receiver[],
  { folder, files }: { readonly folder: string; readonly files: readonly string[] },
): Promise<{ checked: number; wrong: number }> {
  const all = await Promise.all(receivers.map((receiver) => receiver.verify(folder, files)));
  return {
    checked: all.reduce((sum, { checked }) => sum + checked, 0),
    wrong: all.reduce((sum, { wrong }) => sum + wrong, 0),
  };
}

/** What the first Python worker did in the last update. */
export async function workerClock(receivers: readonly Receiver[]): Promise<WorkerClock | undefined> {
  const clock = (await receivers[0]!.stats())?.worker;
  return clock !== undefined && 'buckets' in clock ? (clock as WorkerClock) : undefined;
}
