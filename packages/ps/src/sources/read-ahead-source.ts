import { CheckpointEngineError, type Copy, type HostMemory, type MemoryRange } from '@checkpoint-engine/interface';
import { followSignals, nowMs, settlesWithin } from '@checkpoint-engine/interface/shared';
import type { Bucket } from '@checkpoint-engine/planner';
import type { Stage } from '../progress-event.ts';
import { Deferred } from '../util/deferred.ts';
import type { BucketSource, SourceOptions } from './bucket-source.ts';
import { Ring } from './ring.ts';
import type { Chunk } from './stream-chunk.ts';

/**
 * Number of chunks that are read at a time: enough work for every thread of the device while the first chunks are
 * pinned, but few enough that the first chunk is complete soon.
 */
const PENDING_READS = 4;
/**
 * Time that closing waits for reads after their cancellation. A read that hangs in the system ends in the background.
 */
const CANCEL_MS = 1_000;

/** Moves the bytes of chunks into host memory, and from there to the device. */
export interface ChunkReader {
  /** Reads a chunk to its place. Not called for a chunk that uses no space in the ring. */
  read(chunk: Chunk, place: MemoryRange, signal: AbortSignal): Promise<void>;
  /** The copies from there to the device. */
  copies(chunk: Chunk, place: MemoryRange, target: MemoryRange): readonly Copy[];
  /** Called when a bucket was copied completely. Rejects if the bytes may be wrong. */
  checkCopied?(bucket: Bucket): Promise<void>;
}

/** The options of a {@link ReadAheadSource}. */
export type ReadAheadOptions = Pick<SourceOptions, 'stream' | 'signal' | 'emit' | 'logger'> & { readonly rank: number };

/** The progress of one chunk through host memory. */
interface Turn {
  readonly chunk: Chunk;
  readonly place: MemoryRange;
  /** The last turn that must have been copied before this one is read; -1 for none. */
  readonly after: number;
  /** Its bytes are in the host ring. */
  readonly read: Deferred;
  /** Its bytes are on the device, and its place in the host ring may be overwritten. */
  readonly copied: Deferred;
}

/**
 * Reads buckets during the update, from files or from peers' memory, ahead of the pipeline, into a ring of host memory.
 *
 * Reading starts at once and continues while the ring has space. Buckets pass in chunks, so that a huge bucket needs no
 * more memory than others.
 */
export class ReadAheadSource implements BucketSource {
  readonly #reader: ChunkReader;
  readonly #release: () => void;
  readonly #options: ReadAheadOptions;
  readonly #turns: readonly Turn[];
  /** By bucket, ascending. */
  readonly #turnsOf = new Map<number, Turn[]>();
  /** Chunks of a bucket that are not read yet. */
  readonly #unread = new Map<number, number>();
  readonly #controller = new AbortController();
  readonly #unfollow: () => void;
  readonly #stopped: Promise<never>;
  readonly #running: Promise<unknown>[] = [];
  #closing: Promise<void> | undefined;

  /**
   * @param chunks  Chunks of the buckets in the order of their requests.
   * @param memory  Holds at least the largest chunk. The chunks use it in turn.
   * @param release Frees the memory. Called once, when no read writes to it any more.
   */
  constructor(
    reader: ChunkReader,
    chunks: readonly Chunk[],
    memory: HostMemory,
    release: () => void,
    options: ReadAheadOptions,
  ) {
    this.#reader = reader;
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

  stagesOf({ index }: Bucket): readonly Stage[] {
    const isRead = this.#turnsOf.get(index)?.some(({ chunk }) => chunk.ringBytes > 0);
    return isRead ? ['read', 'h2d'] : ['h2d'];
  }

  /** Resolves when the first chunk can be copied. */
  ready(bucket: Bucket): Promise<void> {
    return this.#wait(this.#turnsOf.get(bucket.index)![0]!.read.promise);
  }

  async load(bucket: Bucket, target: MemoryRange): Promise<void> {
    const copying: Promise<void>[] = [];
    try {
      for (const { chunk, place, read, copied } of this.#turnsOf.get(bucket.index)!) {
        await this.#wait(read.promise);
        const part = { ...target, offsetBytes: target.offsetBytes + chunk.fromBytes };
        const copy = this.#options.stream.copy(this.#reader.copies(chunk, place, part));
        copied.follow(copy);
        copying.push(copy);
      }
    } finally {
      await Promise.allSettled(copying);
    }
    await Promise.all(copying);
    await this.#reader.checkCopied?.(bucket);
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
    this.#options.logger.warn({ rank: this.#options.rank }, 'A read hangs: its host memory is freed when it ends');
  }

  /** Starts reads one after another, as places in the ring become free. */
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
    const { rank, emit } = this.#options;
    const { signal } = this.#controller;
    const { bucket } = chunk;
    if (chunk.ringBytes === 0) return;
    const event = { rank, stage: 'read', bucket: bucket.index, sizeBytes: bucket.sizeBytes } as const;
    if (chunk.fromBytes === 0) emit({ type: 'bucket-start', ...event, atMs: nowMs() });
    await this.#reader.read(chunk, place, signal);
    signal.throwIfAborted();
    const left = this.#unread.get(bucket.index)! - 1;
    this.#unread.set(bucket.index, left);
    if (left === 0) emit({ type: 'bucket-end', ...event, atMs: nowMs() });
  }

  #wait<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#stopped]);
  }
}
