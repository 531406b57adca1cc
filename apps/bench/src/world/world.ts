import { freePort } from '@checkpoint-engine/cli';
import { countGpus } from './count-gpus.ts';
import { DrivenProcess } from './driven-process.ts';
import type { RankIdentity } from './open-rank.ts';
import type { RankCalls, RankStart, RankTask, RankUpdate, RankUsage, RegisterCall, UpdateVariant } from './rank.ts';
import { sharedGpu } from './shared-gpu.ts';

/** The place of one rank, and its parts in addition to its device and the broadcast transport. */
export type RankPlace = Pick<RankIdentity, 'engine' | 'p2p' | 'nics'> & {
  /** A program and its arguments that start the rank's process, for example on a simulated host. */
  readonly runner?: readonly string[];
};

type StartRank = (rank: number, place: RankPlace) => Promise<DrivenProcess<RankCalls>>;

/** Ranks in separate processes. Every scenario starts its world this way. */
export class World {
  /** When the start of each rank's process was requested, in milliseconds since the epoch. */
  readonly requestedAtMs: readonly number[];
  readonly #ranks: DrivenProcess<RankCalls>[];
  readonly #start: StartRank;

  private constructor(ranks: DrivenProcess<RankCalls>[], start: StartRank, requestedAtMs: readonly number[]) {
    this.#ranks = ranks;
    this.#start = start;
    this.requestedAtMs = requestedAtMs;
  }

  /**
   * Starts one rank per place; resolves when all have joined. If ranks outnumber GPUs they share them, which shows
   * right bytes but no speed.
   *
   * @param firstDevice Index of the first rank's device. @default 0
   */
  static async start(
    { device: kind }: { readonly device: 'cuda' | 'host' },
    places: readonly RankPlace[],
    firstDevice = 0,
  ): Promise<World> {
    const gpus = kind === 'cuda' ? await countGpus() : places.length;
    const port = await freePort();
    const start: StartRank = (rank, { runner = [], ...place }) => {
      const index = firstDevice + (rank % gpus);
      const task: RankTask = { ...place, rank, worldSize: places.length, port, device: { kind, index } };
      return DrivenProcess.start('rank-main', task, places.length > gpus ? sharedGpu(rank) : {}, runner);
    };
    const requestedAtMs: number[] = [];
    const started = await Promise.allSettled(
      places.map((place, rank) => {
        requestedAtMs.push(Date.now());
        return start(rank, place);
      }),
    );
    const ranks = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const failed = started.find((one) => one.status === 'rejected');
    if (failed !== undefined) {
      for (const rank of ranks) rank.kill();
      throw failed.reason;
    }
    return new World(ranks, start, requestedAtMs);
  }

  get ranks(): readonly DrivenProcess<RankCalls>[] {
    return this.#ranks;
  }

  get pids(): number[] {
    return this.#ranks.map(({ pid }) => pid);
  }

  started(): Promise<RankStart[]> {
    return this.all((rank) => rank.call('started', null));
  }

  /** Resolves with the milliseconds of the slowest rank, and the bytes of each pool. */
  async register(
    checkpoint: string,
    files: readonly string[],
    stream?: RegisterCall['stream'],
  ): Promise<{ durationMs: number; poolBytes: readonly number[] }> {
    const all = await this.all((rank) => rank.call('register', { checkpoint, files, stream }));
    return {
      durationMs: Math.max(...all.map(({ durationMs }) => durationMs)),
      poolBytes: all.map(({ poolBytes }) => poolBytes),
    };
  }

  async unregister(checkpoint: string): Promise<void> {
    await this.all((rank) => rank.call('unregister', { checkpoint }));
  }

  /** Resolves with the milliseconds of the slowest rank, and the metas of the world in base64. */
  async gather(checkpoint: string): Promise<{ durationMs: number; metas: string }> {
    const all = await this.all((rank) => rank.call('gather', { checkpoint }));
    return { durationMs: Math.max(...all.map(({ durationMs }) => durationMs)), metas: all[0]!.metas };
  }

  /** Loads the metas of another world. */
  async load(metas: string): Promise<void> {
    await this.all((rank) => rank.call('load', { metas }));
  }

  /** Runs one update. Resolves with the results of all ranks. */
  update(checkpoint: string, variant: UpdateVariant, watchMemory = false): Promise<RankUpdate[]> {
    return this.all((rank) => rank.call('update', { checkpoint, variant, watchMemory }));
  }

  /** Starts or stops watching the event loops. */
  async watch(isOn: boolean): Promise<void> {
    await this.all((rank) => rank.call('watch', { isOn }));
  }

  usage(): Promise<RankUsage[]> {
    return this.all((rank) => rank.call('usage', null));
  }

  all<T>(work: (rank: DrivenProcess<RankCalls>) => Promise<T>): Promise<T[]> {
    return Promise.all(this.#ranks.map(work));
  }

  /** Starts a rank that died again, which joins the same world. */
  async restart(rank: number, place: RankPlace): Promise<void> {
    this.#ranks[rank] = await this.#start(rank, place);
  }

  /** Kills all ranks. */
  async kill(): Promise<void> {
    for (const rank of this.#ranks) rank.kill();
    await this.all((rank) => rank.exited);
  }

  /** Ends the ranks, not the receivers. Resolves with whether all ended by themselves. */
  async end(): Promise<boolean> {
    return (await this.all((rank) => rank.end())).every(Boolean);
  }
}
