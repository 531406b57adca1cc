import type { FileRead } from '@checkpoint-engine/interface';
import { Deferred } from '../util/deferred.ts';

/** A part of a pool that is read in one piece. */
export class PoolPart {
  readonly fromBytes: number;
  readonly toBytes: number;
  readonly reads: readonly FileRead[];
  #readAtMs: number | undefined;
  #started = new Deferred<number>();
  #read = new Deferred<number>();

  constructor(fromBytes: number, toBytes: number, reads: readonly FileRead[]) {
    this.fromBytes = fromBytes;
    this.toBytes = toBytes;
    this.reads = reads;
  }

  get isRead(): boolean {
    return this.#readAtMs !== undefined;
  }

  /** Resolves when reading it has begun, with the time: milliseconds since the epoch. */
  get started(): Promise<number> {
    return this.#started.promise;
  }

  /** Resolves when its bytes are there, with the time; rejects when reading has failed. */
  get read(): Promise<number> {
    return this.#readAtMs === undefined ? this.#read.promise : Promise.resolve(this.#readAtMs);
  }

  start(): void {
    this.#started.follow(now());
  }

  succeed(): void {
    this.#readAtMs = now();
    this.#read.follow(this.#readAtMs);
  }

  fail(reason: unknown): void {
    const failed = Promise.reject<number>(reason);
    // Nobody follows it where the part is read already.
    failed.catch(() => {});
    this.#read.follow(failed);
  }

  /** Is to be read again: who waits from now on does not see what failed before. */
  renew(): void {
    this.#started = new Deferred();
    this.#read = new Deferred();
  }
}

/**
 * Cuts a pool into parts.
 *
 * @param reads Fill the pool; ascending in it. One that lies in two parts is cut, too. Empty parts are left out.
 */
export function partsOf(reads: readonly FileRead[], partBytes: number): PoolPart[] {
  const parts = new Map<number, FileRead[]>();
  for (const { path, fileOffsetBytes, offsetBytes, sizeBytes } of reads) {
    for (let doneBytes = 0; doneBytes < sizeBytes; ) {
      const fromBytes = offsetBytes + doneBytes;
      const part = Math.floor(fromBytes / partBytes);
      const takenBytes = Math.min(sizeBytes - doneBytes, (part + 1) * partBytes - fromBytes);
      const own = parts.get(part) ?? [];
      parts.set(part, own);
      own.push({ path, fileOffsetBytes: fileOffsetBytes + doneBytes, offsetBytes: fromBytes, sizeBytes: takenBytes });
      doneBytes += takenBytes;
    }
  }
  return [...parts].map(([part, own]) => new PoolPart(part * partBytes, (part + 1) * partBytes, own));
}

/** With the resolution of a monotonic clock. */
const now = (): number => performance.timeOrigin + performance.now();
