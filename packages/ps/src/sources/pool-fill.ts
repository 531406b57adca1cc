import { CheckpointEngineError, type HostMemory, type Logger } from '@checkpoint-engine/interface';
import { settlesWithin } from '@checkpoint-engine/interface/shared';
import type { PoolPart } from './pool-part.ts';
import { type ReadUnchangedOptions, readUnchanged } from './read-unchanged.ts';
import type { StreamedFile } from './streamed-file.ts';

/** Number of parts that are read at a time: the device's threads read while other parts are pinned. */
const PENDING_READS = 4;
/**
 * Time that closing waits for reads after their cancellation. A read that hangs in the system ends in the background.
 */
const CANCEL_MS = 1_000;

/** Options of {@link PoolFill}. */
export interface PoolFillOptions {
  readonly memory: HostMemory;
  /** In the order of the pool, which is the order in which an update requests its buckets. */
  readonly parts: readonly PoolPart[];
  /** The files of the parts' reads, by path. */
  readonly files: ReadonlyMap<string, StreamedFile>;
  /** Returns the digest request for a part of the pool, computed while it is read. @default none */
  readonly digestOf?: ((fromBytes: number, toBytes: number) => ReadUnchangedOptions['digest']) | undefined;
  readonly rank: number;
  readonly logger: Logger;
}

/**
 * Reads files into a pool in the background, so that updates can use the parts that are complete.
 *
 * A failure stops it and rejects all waits. Complete parts stay, and {@link PoolFill.start} resumes after them. Once
 * all parts are read, the files are not used any more.
 */
export class PoolFill {
  readonly #options: PoolFillOptions;
  #stop = new AbortController();
  #running: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #isReported = false;

  constructor(options: PoolFillOptions) {
    this.#options = options;
  }

  /** The pool to fill. */
  get memory(): HostMemory {
    return this.#options.memory;
  }

  get isLoaded(): boolean {
    return this.#options.parts.every(({ isRead }) => isRead);
  }

  /** The files that have not been read completely. */
  unreadFiles(): StreamedFile[] {
    const { parts, files } = this.#options;
    const paths = new Set(parts.flatMap(({ isRead, reads }) => (isRead ? [] : reads.map(({ path }) => path))));
    return [...paths].map((path) => files.get(path)!);
  }

  /** Whether an update reports the reads: each update that runs during them, or else the first one after them. */
  takeReport(): boolean {
    const isDue = !this.isLoaded || !this.#isReported;
    this.#isReported = true;
    return isDue;
  }

  /** Starts to read, or resumes after a failure. Does nothing if it is running or complete. */
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
    // Cancelled reads write to the same memory until they end.
    this.#running = Promise.resolve(this.#running).then(() => this.#readAll(unread, this.#stop));
  }

  /** Resolves when all parts are read. Rejects if reading fails; the next call resumes it. */
  async loaded(): Promise<void> {
    this.start();
    await Promise.all(this.#options.parts.map(({ read }) => read));
  }

  /** When reading a range has begun and has ended, as for parts. */
  range(fromBytes: number, toBytes: number): { readonly started: Promise<number>; readonly read: Promise<number> } {
    const parts = this.#options.parts.filter((part) => part.fromBytes < toBytes && fromBytes < part.toBytes);
    const read = Promise.all(parts.map((part) => part.read)).then((times) => Math.max(0, ...times));
    read.catch(() => {});
    return { started: Promise.race(parts.map(({ started }) => started)), read };
  }

  /** Stops, and resolves when no read is in progress, or soon if a read hangs. Calls `release` after all reads. */
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
    logger.warn({ rank }, 'A read of a file hangs in the system: its host memory is freed when it ends');
  }

  /** Never rejects: callers that wait for the parts get the error. */
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
    const { memory, files, rank, logger, digestOf } = this.#options;
    const paths = new Set(part.reads.map(({ path }) => path));
    part.start();
    await readUnchanged({
      memory,
      reads: part.reads,
      files: [...paths].map((path) => files.get(path)!),
      digest: digestOf?.(part.fromBytes, part.toBytes),
      signal,
      logger,
      fields: { rank },
    });
    part.succeed();
  }

  #fail(stop: AbortController, error: unknown): void {
    if (stop.signal.aborted) return;
    const { logger, rank } = this.#options;
    logger.warn({ rank, cause: error }, 'Reading a checkpoint into host memory failed; the next update resumes it');
    stop.abort(error);
  }
}
