import { CheckpointEngineError, type HostMemory, type Logger } from '@checkpoint-engine/interface';
import { settlesWithin } from '@checkpoint-engine/interface/shared';
import type { PoolPart } from './pool-part.ts';
import { readUnchanged } from './read-unchanged.ts';
import type { StreamedFile } from './streamed-file.ts';

/** Parts that are read at a time: every thread of a device has something to read while others' parts are pinned. */
const PENDING_READS = 4;
/** How long closing waits for reads that were cancelled. One that hangs in the system is left to end by itself. */
const CANCEL_MS = 1_000;

/** What a {@link PoolFill} is made of. */
export interface PoolFillOptions {
  readonly memory: HostMemory;
  /** In the order of the pool, which is the order in which an update asks for its buckets. */
  readonly parts: readonly PoolPart[];
  /** The files of the parts' reads, by path. */
  readonly files: ReadonlyMap<string, StreamedFile>;
  readonly rank: number;
  readonly logger: Logger;
}

/**
 * Reads files into a pool in the background, so that updates can take from it what is there already.
 *
 * A failure ends it and rejects all who wait; what was read by then stays, and {@link PoolFill.start} goes on from
 * there. Once all is read no file is touched any more.
 */
export class PoolFill {
  readonly #options: PoolFillOptions;
  #stop = new AbortController();
  #running: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: PoolFillOptions) {
    this.#options = options;
  }

  /** The pool that it reads into. */
  get memory(): HostMemory {
    return this.#options.memory;
  }

  get isLoaded(): boolean {
    return this.#options.parts.every(({ isRead }) => isRead);
  }

  /** Begins to read, or goes on after a failure; does nothing where it runs or has read all. */
  start(): void {
    const hasFailed = this.#stop.signal.aborted;
    if (this.#closing !== undefined || (this.#running !== undefined && !hasFailed)) return;
    const unread = this.#options.parts.filter(({ isRead }) => !isRead);
    for (const part of unread) part.renew();
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    const fail = (): void => {
      for (const part of unread) part.fail(signal.reason);
    };
    signal.addEventListener('abort', fail, { once: true });
    // Reads that were cancelled write to the same memory until they end.
    this.#running = Promise.resolve(this.#running).then(() => this.#readAll(unread, this.#stop));
  }

  /** Resolves when all is read. Rejects with what ended reading; then the next call of this goes on with it. */
  async loaded(): Promise<void> {
    this.start();
    await Promise.all(this.#options.parts.map(({ read }) => read));
  }

  /** When reading a range has begun and when its bytes are there, as for parts. */
  range(fromBytes: number, toBytes: number): { readonly started: Promise<number>; readonly read: Promise<number> } {
    const parts = this.#options.parts.filter((part) => part.fromBytes < toBytes && fromBytes < part.toBytes);
    const read = Promise.all(parts.map((part) => part.read)).then((times) => Math.max(0, ...times));
    read.catch(() => {});
    return { started: Promise.race(parts.map(({ started }) => started)), read };
  }

  /** Stops, and resolves when nothing is read any more, or soon where a read hangs. `release` is called after all reads. */
  close(release: () => void): Promise<void> {
    this.#closing ??= this.#close(release);
    return this.#closing;
  }

  async #close(release: () => void): Promise<void> {
    this.#stop.abort(
      new CheckpointEngineError('CE_CLOSED', 'The checkpoint was unregistered while it was read', 'Register it again'),
    );
    const ended = Promise.resolve(this.#running).then(release);
    if (await settlesWithin(ended, CANCEL_MS)) return;
    const { logger, rank } = this.#options;
    logger.warn({ rank }, 'A read of a file hangs in the system: its host memory is given back when it ends');
  }

  /** Never rejects: who waits for the parts is told. */
  async #readAll(unread: readonly PoolPart[], stop: AbortController): Promise<void> {
    const rest = unread.values();
    const reader = async (): Promise<void> => {
      for (const part of rest) {
        if (stop.signal.aborted) return;
        await this.#read(part, stop.signal);
      }
    };
    const readers = Array.from({ length: PENDING_READS }, () => reader().catch((error) => this.#fail(stop, error)));
    await Promise.all(readers);
  }

  async #read(part: PoolPart, signal: AbortSignal): Promise<void> {
    const { memory, files, rank, logger } = this.#options;
    const paths = new Set(part.reads.map(({ path }) => path));
    part.start();
    await readUnchanged({
      memory,
      reads: part.reads,
      files: [...paths].map((path) => files.get(path)!),
      signal,
      logger,
      fields: { rank },
    });
    part.succeed();
  }

  #fail(stop: AbortController, error: unknown): void {
    if (stop.signal.aborted) return;
    const { logger, rank } = this.#options;
    logger.warn(
      { rank, cause: error },
      'Reading a checkpoint into host memory failed; the next update goes on with it',
    );
    stop.abort(error);
  }
}
