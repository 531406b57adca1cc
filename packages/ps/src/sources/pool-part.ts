import type { FileRead } from '@checkpoint-engine/interface';
import { nowMs } from '@checkpoint-engine/interface/shared';
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

  /** Resolves with the time when reading has begun, in milliseconds since the epoch. */
  get started(): Promise<number> {
    return this.#started.promise;
  }

  /** Resolves with the time when the bytes are complete. Rejects if reading fails. */
  get read(): Promise<number> {
    return this.#readAtMs === undefined ? this.#read.promise : Promise.resolve(this.#readAtMs);
  }

  start(): void {
    this.#started.follow(nowMs());
  }

  succeed(): void {
    this.#readAtMs = nowMs();
    this.#read.follow(this.#readAtMs);
  }

  fail(reason: unknown): void {
    const failed = Promise.reject<number>(reason);
    // It has no follower if the part is already read.
    failed.catch(() => {});
    this.#read.follow(failed);
  }

  /** Marks the part to be read again: later waits do not see the previous failure. */
  renew(): void {
    this.#started = new Deferred();
    this.#read = new Deferred();
  }
}

/**
 * Divides a pool into parts.
 *
 * @param reads The reads that fill the pool, ascending. A read that spans two parts is divided. Empty parts are left
 * out.
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
