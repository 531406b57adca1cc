import { CheckpointEngineError, type HostMemory, type MemoryRange } from '@checkpoint-engine/interface';
import { type Bucket, type BucketCopy, bucketLayout } from '@checkpoint-engine/planner';
import { Deferred } from '../util/deferred.ts';
import { followSignals } from '../util/follow-signals.ts';
import { settlesWithin } from '../util/settles-within.ts';
import type { BucketSource, SourceOptions } from './bucket-source.ts';
import { retryRead } from './retry-read.ts';
import type { Ring } from './ring.ts';
import { copiesOf, readsOf, type StreamRegion } from './stream-region.ts';

/**
 * Buckets that are read at a time: enough that every thread of the device has something to read while the first ones
 * are being pinned, few enough that the first one is there soon.
 */
const PENDING_READS = 4;
/** How long closing waits for reads that were cancelled. One that hangs in the system is left to end by itself. */
const CANCEL_MS = 1_000;

/** The way of one bucket through host memory. */
interface Turn {
  readonly bucket: Bucket;
  /** Its bytes lie in the host ring. */
  readonly read: Deferred;
  /** They are on the device, and their place in the host ring may be overwritten. */
  readonly copied: Deferred;
}

/**
 * The bytes are read from files during the update, ahead of the pipeline, into a ring of host memory.
 *
 * Reading starts at once and goes on as far as the ring has room. A file is compared with what it was at registration
 * before and after each bucket is read, so that no bucket mixes two versions of it.
 */
export class StreamSource implements BucketSource {
  readonly #regions: readonly StreamRegion[];
  readonly #ring: Ring<HostMemory>;
  readonly #release: () => void;
  readonly #options: SourceOptions;
  readonly #turns: readonly Turn[];
  readonly #turnOf: ReadonlyMap<number, number>;
  readonly #controller = new AbortController();
  readonly #unfollow: () => void;
  readonly #stopped: Promise<never>;
  readonly #running: Promise<unknown>[] = [];
  #closing: Promise<void> | undefined;

  /**
   * @param regions In the order of the metas' regions.
   * @param ring    For the buckets of `options`, without the empty ones.
   * @param release Gives the ring's memory back; called once, when nothing reads into it any more.
   */
  constructor(regions: readonly StreamRegion[], ring: Ring<HostMemory>, release: () => void, options: SourceOptions) {
    this.#regions = regions;
    this.#ring = ring;
    this.#release = release;
    this.#options = options;
    const buckets = options.buckets.filter(({ sizeBytes }) => sizeBytes > 0);
    this.#turns = buckets.map((bucket) => ({ bucket, read: new Deferred(), copied: new Deferred() }));
    this.#turnOf = new Map(buckets.map(({ index }, turn) => [index, turn]));
    const { signal } = this.#controller;
    this.#stopped = new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    this.#stopped.catch(() => {});
    this.#unfollow = followSignals(this.#controller, [options.signal]);
    const reading = this.#readAll();
    reading.catch((error) => this.#controller.abort(error));
    this.#running.push(reading);
  }

  ready(bucket: Bucket): Promise<void> {
    return this.#wait(this.#turns[this.#turnOf.get(bucket.index)!]!.read.promise);
  }

  load(bucket: Bucket, target: MemoryRange): Promise<void> {
    const turn = this.#turnOf.get(bucket.index)!;
    const copies = copiesOf(this.#copies(bucket), this.#regions, this.#ring.range(turn), target);
    const copying = this.#options.stream.copy(copies);
    this.#turns[turn]!.copied.follow(copying);
    return copying;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#controller.abort(
      new CheckpointEngineError('CE_CLOSED', 'The source of the buckets is closed', 'Open another'),
    );
    this.#unfollow();
    const settled = Promise.allSettled(this.#running).then(this.#release);
    if (await settlesWithin(settled, CANCEL_MS)) return;
    this.#options.logger.warn(
      { rank: this.#options.metas.rank },
      'A read of a file hangs in the system: its host memory is given back when it ends',
    );
  }

  /** Starts one read after the other, as places in the ring become free. */
  async #readAll(): Promise<void> {
    let free = 0;
    for (const [turn, { bucket, read }] of this.#turns.entries()) {
      while (free <= this.#ring.after(turn)) await this.#wait(this.#turns[free++]!.copied.promise);
      const oldest = this.#turns[turn - PENDING_READS];
      if (oldest !== undefined) await this.#wait(oldest.read.promise);
      this.#controller.signal.throwIfAborted();
      const reading = this.#read(bucket, turn);
      reading.catch((error) => this.#controller.abort(error));
      this.#running.push(reading);
      read.follow(reading);
    }
  }

  async #read(bucket: Bucket, turn: number): Promise<void> {
    const { metas, emit, logger } = this.#options;
    const { rank } = metas;
    const { signal } = this.#controller;
    const copies = this.#copies(bucket);
    const place = this.#ring.range(turn);
    const reads = readsOf(copies, this.#regions, place);
    if (reads.length === 0) return;
    const files = new Set(copies.map(({ region }) => this.#regions[region]!.file));
    const checkFiles = async (): Promise<void> => {
      for (const file of files) await file?.checkUnchanged();
    };
    const event = { rank, stage: 'read', bucket: bucket.index, sizeBytes: bucket.sizeBytes } as const;
    emit({ type: 'bucket-start', ...event, atMs: now() });
    await retryRead(
      async () => {
        await checkFiles();
        await this.#ring.memory.read(reads, { signal });
        await checkFiles();
      },
      {
        signal,
        onRetry: (error, delayMs) =>
          logger.warn(
            { rank, bucket: bucket.index, file: error.file },
            `${error.message}; reading again in ${delayMs} ms`,
          ),
      },
    );
    signal.throwIfAborted();
    emit({ type: 'bucket-end', ...event, atMs: now() });
  }

  #copies(bucket: Bucket): readonly BucketCopy[] {
    return bucketLayout(this.#options.metas, bucket, this.#options.alignBytes).copies;
  }

  #wait<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#stopped]);
  }
}

/** Milliseconds since the epoch with the resolution of a monotonic clock. */
const now = (): number => performance.timeOrigin + performance.now();
