import { Buffer } from 'node:buffer';
import { CheckpointEngineError, type Device, type Memory } from '@checkpoint-engine/interface';

/** Segments of one owner that stay open; more would keep memory alive that the owner has long released. */
const mostPerOwner = 4;

/** Opened segments of peers, so that each is mapped once and not for every transfer. */
export class SegmentCache {
  readonly #device: Device;
  /** By owner, then by handle; the one used last is last. */
  readonly #owners = new Map<number | string, Map<string, Promise<Memory>>>();
  #closed = false;

  constructor(device: Device) {
    this.#device = device;
  }

  /** Opens an owner's segment, or gives the open one. It stays valid for copies that are submitted at once. */
  open(owner: number | string, handle: Uint8Array, sizeBytes: number): Promise<Memory> {
    if (this.#closed) {
      return Promise.reject(new CheckpointEngineError('CE_CLOSED', 'The segments are closed', 'Join or open again'));
    }
    const segments = this.#owners.get(owner) ?? new Map<string, Promise<Memory>>();
    this.#owners.set(owner, segments);
    const key = Buffer.from(handle.buffer, handle.byteOffset, handle.byteLength).toString('latin1');
    const memory = segments.get(key) ?? this.#device.openShared(handle, sizeBytes);
    segments.delete(key);
    segments.set(key, memory);
    memory.catch(() => segments.delete(key)); // the next call tries again
    for (const [oldest, old] of segments) {
      if (segments.size <= mostPerOwner) break;
      segments.delete(oldest);
      release(old);
    }
    return memory;
  }

  /** Closes an owner's segments. */
  forget(owner: number | string): void {
    for (const memory of this.#owners.get(owner)?.values() ?? []) release(memory);
    this.#owners.delete(owner);
  }

  /** Closes all segments. */
  close(): void {
    this.#closed = true;
    for (const owner of [...this.#owners.keys()]) this.forget(owner);
  }
}

function release(memory: Promise<Memory>): void {
  memory.then(
    (opened) => opened.close(),
    () => {},
  );
}
