import { Buffer } from 'node:buffer';
import { clearTimeout, setTimeout } from 'node:timers';
import { CheckpointEngineError, type Device, type Memory } from '@checkpoint-engine/interface';

/**
 * Time for which an unused segment stays open. It is short, because an open segment keeps the owner's memory alive
 * after its release.
 */
const defaultIdleMs = 2_000;

/** A peer's description of its shared memory. */
export interface Segment {
  readonly handle: Uint8Array;
  readonly memoryBytes: number;
}

interface Entry {
  readonly memory: Promise<Memory>;
  users: number;
  usedAt: number;
}

/** Opened segments of peers, so that each is mapped once instead of for every transfer. */
export class SegmentCache {
  readonly #device: Device;
  readonly #idleMs: number;
  readonly #entries = new Map<string, Entry>();
  #sweep: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(device: Device, idleMs: number = defaultIdleMs) {
    this.#device = device;
    this.#idleMs = idleMs;
  }

  /** Keeps segments open while `work` runs; its memories are in the order of the segments. */
  async use<T>(segments: readonly Segment[], work: (memories: readonly Memory[]) => Promise<T>): Promise<T> {
    if (this.#closed)
      throw new CheckpointEngineError(
        'CE_CLOSED',
        'The segments are closed',
        'Join the group or open the endpoint again',
      );
    const entries = segments.map((segment) => this.#take(segment));
    try {
      return await work(await Promise.all(entries.map(({ memory }) => memory)));
    } finally {
      for (const entry of entries) this.#release(entry);
    }
  }

  /** Closes all segments; those in use close after their last use. */
  close(): void {
    this.#closed = true;
    this.#closeUnused(0);
  }

  #take({ handle, memoryBytes }: Segment): Entry {
    const key = Buffer.from(handle.buffer, handle.byteOffset, handle.byteLength).toString('latin1');
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { memory: this.#device.openShared(handle, memoryBytes), users: 0, usedAt: 0 };
      entry.memory.catch(() => this.#entries.delete(key)); // The next use tries again.
      this.#entries.set(key, entry);
    }
    entry.users++;
    return entry;
  }

  #release(entry: Entry): void {
    entry.users--;
    entry.usedAt = performance.now();
    if (this.#closed) this.#closeUnused(0);
    else this.#sweepLater();
  }

  #sweepLater(): void {
    if (this.#sweep !== undefined || this.#entries.size === 0) return;
    this.#sweep = setTimeout(() => {
      this.#sweep = undefined;
      this.#closeUnused(this.#idleMs);
      this.#sweepLater();
    }, this.#idleMs);
    this.#sweep.unref();
  }

  #closeUnused(idleMs: number): void {
    const now = performance.now();
    for (const [key, entry] of this.#entries) {
      if (entry.users > 0 || now - entry.usedAt < idleMs) continue;
      this.#entries.delete(key);
      entry.memory.then(
        (memory) => memory.close(),
        () => {}, // The segment was never opened.
      );
    }
    if (this.#entries.size > 0) return;
    clearTimeout(this.#sweep);
    this.#sweep = undefined;
  }
}
