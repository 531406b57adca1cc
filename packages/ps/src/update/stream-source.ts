import { CheckpointEngineError, type HostMemory, type MemoryRange } from '@checkpoint-engine/interface';
import { type Bucket, type BucketCopy, bucketLayout } from '@checkpoint-engine/planner';
import { Deferred } from '../util/deferred.ts';
import { followSignals } from '../util/follow-signals.ts';
import { settlesWithin } from '../util/settles-within.ts';
import type { BucketSource, SourceOptions } from './bucket-source.ts';
import { readUnchanged } from './read-unchanged.ts';
import { Ring } from './ring.ts';
import { type Chunk, copiesWithin } from './stream-chunk.ts';
import { copiesOf, readsOf, type StreamRegion } from './stream-region.ts';

/**
 * Chunks that are read at a time: enough that every thread of the device has something to read while the first ones
 * are being pinned, few enough that the first one is there soon.
 */
const PENDING_READS = 4;
/** How long closing waits for reads that were cancelled. One that hangs in the system is left to end by itself. */
const CANCEL_MS = 1_000;

/** The way of one chunk through host memory. */
interface Turn {
  readonly chunk: Chunk;
  readonly place: MemoryRange;
  /** The last turn that must have been copied before this one is read; -1 for none. */
  readonly after: number;
  /** Its bytes lie in the host ring. */
  readonly read: Deferred;
  /** They are on the device, and their place in the host ring may be overwritten. */
  readonly copied: Deferred;
}

/**
 * The bytes are read from files during the update, ahead of the pipeline, into a ring of host memory.
 *
 * Reading starts at once and goes on as far as the ring has room. Buckets pass in chunks, so that a huge one needs no
 * more memory than others. A file is compared with what it was at registration before and after each chunk is read.
 */
export class StreamSource implements BucketSource {
  readonly #regions: readonly StreamRegion[];
  readonly #memory: HostMemory;
  readonly #release: () => void;
  readonly #options: SourceOptions;
  readonly #turns: readonly Turn[];
  /** By bucket, ascending. */
  readonly #turnsOf = new Map<number, Turn[]>();
  /** Chunks of a bucket that are still to be read. */
  readonly #unread = new Map<number, number>();
  readonly #controller = new AbortController();
  readonly #unfollow: () => void;
  readonly #stopped: Promise<never>;
  readonly #running: Promise<unknown>[] = [];
  #closing: Promise<void> | undefined;

  /**
   * @param regions In the order of the metas' regions.
   * @param chunks  Of the buckets of `options`, in order.
   * @param memory  Holds at least the largest chunk; the chunks take turns in it.
   * @param release Gives the memory back; called once, when nothing reads into it any more.
   */
  constructor(
    regions: readonly StreamRegion[],
    chunks: readonly Chunk[],
    memory: HostMemory,
    release: () => void,
    options: SourceOptions,
  ) {
    this.#regions = regions;
    this.#memory = memory;
    this.#release = release;
    this.#options = options;
    const ring = new Ring(
      memory,
      chunks.map(({ ringBytes }) => ringBytes),
    );
    this.#turns = chunks.map((chunk, turn) => {
      return { chunk, place: ring.range(turn), after: ring.after(turn), read: new Deferred(), copied: new Deferred() };
    });
    for (const turn of this.#turns) {
      const { index } = turn.chunk.bucket;
      const turns = this.#turnsOf.get(index) ?? [];
      this.#turnsOf.set(index, turns);
      this.#unread.set(index, turns.push(turn));
    }
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

  /** Resolves when the first chunk can be copied. */
  ready(bucket: Bucket): Promise<void> {
    return this.#wait(this.#turnsOf.get(bucket.index)![0]!.read.promise);
  }

  async load(bucket: Bucket, target: MemoryRange): Promise<void> {
    const copies = this.#copies(bucket);
    const copying: Promise<void>[] = [];
    try {
      for (const { chunk, place, read, copied } of this.#turnsOf.get(bucket.index)!) {
        await this.#wait(read.promise);
        const part = { ...target, offsetBytes: target.offsetBytes + chunk.fromBytes };
        const copy = this.#options.stream.copy(copiesOf(copiesWithin(copies, chunk), this.#regions, place, part));
        copied.follow(copy);
        copying.push(copy);
      }
    } finally {
      await Promise.allSettled(copying);
    }
    await Promise.all(copying);
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
    for (const [index, turn] of this.#turns.entries()) {
      while (free <= turn.after) await this.#wait(this.#turns[free++]!.copied.promise);
      const oldest = this.#turns[index - PENDING_READS];
      if (oldest !== undefined) await this.#wait(oldest.read.promise);
      this.#controller.signal.throwIfAborted();
      const reading = this.#read(turn);
      reading.catch((error) => this.#controller.abort(error));
      this.#running.push(reading);
      turn.read.follow(reading);
    }
  }

  async #read({ chunk, place }: Turn): Promise<void> {
    const { metas, emit, logger } = this.#options;
    const { rank } = metas;
    const { signal } = this.#controller;
    const { bucket } = chunk;
    if (chunk.ringBytes === 0) return;
    const copies = copiesWithin(this.#copies(bucket), chunk);
    const reads = readsOf(copies, this.#regions, place);
    const files = new Set(copies.flatMap(({ region }) => this.#regions[region]!.file ?? []));
    const event = { rank, stage: 'read', bucket: bucket.index, sizeBytes: bucket.sizeBytes } as const;
    if (chunk.fromBytes === 0) emit({ type: 'bucket-start', ...event, atMs: now() });
    await readUnchanged({ memory: this.#memory, reads, files, signal, logger, fields: { rank, bucket: bucket.index } });
    const left = this.#unread.get(bucket.index)! - 1;
    this.#unread.set(bucket.index, left);
    if (left === 0) emit({ type: 'bucket-end', ...event, atMs: now() });
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
