import { readFileSync } from 'node:fs';
import { CheckpointEngineError, type SerializedError } from '@checkpoint-engine/interface';
import type { CheckpointSource, ProgressEvent, RegisteredCheckpoint, UpdateResult } from '@checkpoint-engine/ps';
import { freePort } from '../../../../tools/test/free-port.ts';
import { Child } from './child.ts';

/** Options of the update that a test may set. */
export interface TestUpdate {
  readonly ranks?: readonly number[];
  readonly inferenceParallelSize?: number;
  readonly timeoutMs?: number;
  readonly bucketBytes?: number;
  readonly deviceMemoryBytes?: number;
  readonly keepFiles?: boolean;
  readonly releaseCommunicators?: boolean;
  readonly method?: 'auto' | 'pull' | 'buckets';
}

/** The end of a bucket's stage. */
export type BucketEvent = Extract<ProgressEvent, { type: 'bucket-start' | 'bucket-end' }>;

type PlanEvent = Extract<ProgressEvent, { type: 'plan' }>;
type StageBytes = PlanEvent['stageBytes'];

/** Options of the ranks of a test. */
export interface WorldOptions {
  readonly token?: string;
  /** Time after which a silent rank is lost, for tests that kill a rank. @default the store's */
  readonly lostAfterMs?: number;
  readonly directory?: string;
  /** A program and its arguments that start each rank, Node's path appended. */
  readonly runner?: readonly string[];
  /** The same for workers. */
  readonly workerRunner?: readonly string[];
  /** Options of workers that keep tensor-parallel slices and pull. @default they take whole tensors in buckets */
  readonly pull?: {
    readonly prove?: boolean;
    readonly inBuckets?: readonly string[];
    /** Ranks that divide the model. @default those of the world */
    readonly parallelSize?: number;
  };
  /** Whether pools are in memory that workers map. */
  readonly sharePools?: boolean;
  /** The P2P transport: shared memory, or Mooncake with these options. @default none */
  readonly p2p?: 'shm' | object;
  /** Whether there is a broadcast transport. @default true */
  readonly broadcast?: boolean;
  readonly nics?: readonly string[];
  /** @default 'host' */
  readonly device?: 'cuda';
  /** Options that differ between ranks, for worlds that span hosts. */
  readonly placeOf?: (rank: number) => RankPlace;
}

/** Where a rank and its worker run. */
export interface RankPlace {
  /** As `runner`, for the rank and its worker. */
  readonly runner: readonly string[];
  /** Name of the host. */
  readonly host: string;
  /** Where rank 0 is, as seen from the others. @default this host */
  readonly masterAddr?: string;
  readonly nics: readonly string[];
  readonly p2p: object;
}

interface FromRank {
  readonly request?: number;
  readonly handles?: Record<string, string>;
  readonly bucketEnd?: BucketEvent;
  readonly plan?: PlanEvent;
}

/** N ranks and N workers, each in a separate process; rank i uses worker i. */
export class World {
  readonly ranks: Child[] = [];
  readonly workers: Child[] = [];
  readonly size: number;
  /** Called when a rank finished a step of a bucket. */
  onBucketEnd: (rank: number, event: BucketEvent) => void = () => {};
  /** Whether to withhold the addresses, so that workers never connect. */
  isEngineMute = false;
  /** By rank, the announced bytes of each stage of the last update. */
  readonly planned = new Map<number, StageBytes>();
  /** By rank, the moved bytes of each stage. */
  readonly passed = new Map<number, StageBytes>();
  #port = 0;

  constructor(size: number) {
    this.size = size;
  }

  static async start(size: number, options: WorldOptions = {}): Promise<World> {
    const world = new World(size);
    await Promise.all(
      Array.from({ length: size }, (_, rank) =>
        world.startWorker(rank, options.placeOf?.(rank).runner ?? options.workerRunner, options.pull),
      ),
    );
    world.#port = await freePort();
    await world.startRanks(options);
    return world;
  }

  /** Where the store listens. */
  get port(): number {
    return this.#port;
  }

  async startRanks(options: WorldOptions = {}): Promise<void> {
    for (let rank = 0; rank < this.size; rank++) {
      this.ranks[rank] = this.#spawnRank(rank, options.placeOf?.(rank).runner ?? options.runner);
    }
    await Promise.all(this.ranks.map((child, rank) => child.call('start', this.#startArgs(rank, options))));
  }

  /** Starts a rank again in place of one that died. */
  async restartRank(rank: number, options: WorldOptions = {}): Promise<void> {
    this.ranks[rank] = this.#spawnRank(rank);
    await this.ranks[rank].call('start', this.#startArgs(rank, options));
  }

  async startWorker(index: number, runner: readonly string[] = [], pull?: WorldOptions['pull']): Promise<void> {
    const worker =
      pull === undefined
        ? new Child('worker-process', [String(index)], runner)
        : new Child('pull-worker-process', [String(index), String(this.size), JSON.stringify(pull)], runner);
    this.workers[index] = worker;
    await new Promise<void>((resolve) => worker.process.once('message', () => resolve()));
  }

  register(name: string, source: CheckpointSource): Promise<RegisteredCheckpoint[]> {
    return this.onAll((rank) => rank.call<RegisteredCheckpoint>('register', { name, source }));
  }

  /** The metas of all ranks in the format of a metas file, in base64. */
  metas(name: string): Promise<string> {
    return this.ranks[0]!.call<string>('metas', { name });
  }

  /** Loads the metas of another world, and of further worlds that hold the same checkpoint. */
  load(metas: string, fallbacks: readonly string[] = []): Promise<unknown> {
    return this.onAll((rank) => rank.call('load', { metas, fallbacks }));
  }

  gather(name: string): Promise<number[]> {
    return this.onAll((rank) => rank.call<number>('gather', { name }));
  }

  update(name: string, options: TestUpdate = {}): Promise<UpdateResult[]> {
    this.planned.clear();
    this.passed.clear();
    return this.onAll((rank) => rank.call<UpdateResult>('update', { name, options: this.#withDefaults(options) }));
  }

  /** Runs an update that must fail, and returns the error of each rank that still runs. */
  async failedUpdate(name: string, options: TestUpdate = {}): Promise<CheckpointEngineError[]> {
    const outcomes = await Promise.allSettled(
      this.ranks.map((rank) => rank.call('update', { name, options: this.#withDefaults(options) })),
    );
    return outcomes.flatMap((outcome, rank) => {
      if (outcome.status === 'fulfilled') throw new Error(`rank ${rank} did not fail`);
      return this.ranks[rank]!.isAlive ? [outcome.reason as CheckpointEngineError] : [];
    });
  }

  /**
   * Runs a function during an update: while a worker holds a bucket, so the update cannot end before.
   *
   * @param index The worker.
   */
  async inTheMiddle<T>(index: number, bucket: number, update: () => Promise<T>, work: () => unknown): Promise<T> {
    const worker = this.workers[index]!;
    await worker.call('plant', { kind: 'hold', bucket });
    const updating = update();
    updating.catch(() => {});
    await Promise.race([worker.call('held'), updating.then(() => Promise.reject(new Error('Nothing was held')))]);
    await work();
    await worker.call('plant', null);
    return await updating;
  }

  digests(index: number): Promise<Record<string, string>> {
    return this.workers[index]!.call('digests');
  }

  /** Ends all processes at once, as a power cut would. */
  async kill(): Promise<void> {
    await Promise.all([...this.ranks, ...this.workers].map((child) => child.kill()));
  }

  async end(): Promise<void> {
    await Promise.all([...this.ranks, ...this.workers].map((child) => child.end()));
  }

  /** The history of all processes and the state of each one, for the message of a test that fails. */
  story(sinceMs = 0): string {
    const children = [this.ranks, this.workers].flatMap((all, kind) =>
      all.map((child, index) => ({ who: `${kind === 0 ? 'rank' : 'worker'} ${index}`, child })),
    );
    const told = children.flatMap(({ who, child }) => child.notes.map((note) => ({ who, ...note })));
    const lines = told
      .filter(({ atMs }) => atMs >= sinceMs)
      .sort((a, b) => a.atMs - b.atMs)
      .map(({ who, atMs, text }) => `${(atMs - sinceMs).toFixed(0)} ms, ${who}: ${text}`);
    return [...lines, ...children.map(({ who, child }) => `${who} is ${stateOf(child)}`)].join('\n');
  }

  onAll<T>(work: (rank: Child) => Promise<T>): Promise<T[]> {
    return Promise.all(this.ranks.map(work));
  }

  #withDefaults(options: TestUpdate): object {
    return { inferenceParallelSize: 1, timeoutMs: 30_000, ...options };
  }

  #startArgs(rank: number, { runner: _, workerRunner: __, pull: ___, placeOf, ...options }: WorldOptions): object {
    const { runner: ____, ...place } = placeOf?.(rank) ?? { runner: [] };
    return { rank, worldSize: this.size, port: this.#port, ...options, ...place };
  }

  #spawnRank(rank: number, runner: readonly string[] = []): Child {
    const child = new Child('rank-process', [], runner);
    child.process.on('message', ({ bucketEnd, plan, request, handles }: FromRank) => {
      if (bucketEnd !== undefined) this.#onBucketEnd(rank, bucketEnd);
      if (plan !== undefined) this.planned.set(rank, plan.stageBytes);
      if (request !== undefined) void this.#deliver(child, rank, request, handles!);
    });
    return child;
  }

  #onBucketEnd(rank: number, event: BucketEvent): void {
    const { stage, sizeBytes } = event;
    const passed = this.passed.get(rank) ?? { read: 0, h2d: 0, broadcast: 0, reload: 0, pull: 0 };
    this.passed.set(rank, { ...passed, [stage]: passed[stage] + sizeBytes });
    this.onBucketEnd(rank, event);
  }

  /** Plays the engine: hands the address to the worker, and answers when the worker is done. */
  async #deliver(child: Child, rank: number, request: number, handles: Record<string, string>): Promise<void> {
    if (this.isEngineMute) return;
    let error: SerializedError | undefined;
    try {
      await this.workers[rank]!.call('receive', { address: Object.values(handles)[0] });
    } catch (failure) {
      error = new CheckpointEngineError('CE_ENGINE_FAILED', String(failure), 'Look at the worker').toJSON();
    }
    // The rank may have ended meanwhile; then the answer is not needed.
    if (child.process.connected) child.process.send({ request, error }, () => {});
  }
}

/** State of a process, and the milliseconds that it ran and that it waited for a processor. */
function stateOf({ process: { pid } }: Child): string {
  try {
    const [, state] = /^State:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    const [ranMs, waitedMs] = readFileSync(`/proc/${pid}/schedstat`, 'utf8')
      .split(' ')
      .map((nanoseconds) => Math.round(Number(nanoseconds) / 1e6));
    return `${state}, ran for ${ranMs} ms, waited for a processor for ${waitedMs} ms`;
  } catch {
    return 'gone';
  }
}
