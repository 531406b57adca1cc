const NOTHING = new Uint8Array(0);

/**
 * A contiguous queue of the bytes of a stream that have arrived and were not taken yet. It uses at most twice the
 * memory of these bytes, and copies each byte a bounded number of times, however small the arriving pieces are.
 */
export class ByteQueue {
  /** The queue holds bytes `#start` to `#end`. */
  #held: Uint8Array = NOTHING;
  #start = 0;
  #end = 0;
  /** Whether there may be space after `#end`; the queue never writes to a buffer of the caller. */
  #isOwn = false;
  #reservedBytes = 0;

  /** Number of bytes in the queue. */
  get sizeBytes(): number {
    return this.#end - this.#start;
  }

  /** All bytes in the queue; they share memory with the queue, and do not change. */
  get bytes(): Uint8Array {
    return this.#held.subarray(this.#start, this.#end);
  }

  /** Allocates space for this many bytes together when more arrive: for an authenticated sender with bounded frames. */
  reserve(sizeBytes: number): void {
    this.#reservedBytes = sizeBytes;
  }

  /** Appends bytes. The queue may keep them, so they must not change. */
  push(chunk: Uint8Array): void {
    if (this.sizeBytes === 0) {
      this.#held = chunk;
      this.#start = 0;
      this.#end = chunk.byteLength;
      this.#isOwn = false;
      return;
    }
    if (!this.#isOwn || this.#end + chunk.byteLength > this.#held.byteLength) this.#grow(chunk.byteLength);
    this.#held.set(chunk, this.#end);
    this.#end += chunk.byteLength;
  }

  /**
   * Removes and returns the first `sizeBytes` bytes, which the queue must hold. They share memory with pushed bytes.
   */
  take(sizeBytes: number): Uint8Array {
    const taken = this.#held.subarray(this.#start, this.#start + sizeBytes);
    this.#start += sizeBytes;
    if (this.#start === this.#end) {
      this.#held = NOTHING;
      this.#start = 0;
      this.#end = 0;
    }
    return taken;
  }

  /** Allocates space for more bytes, at least twice the current size, so that many small pieces cause few copies. */
  #grow(moreBytes: number): void {
    const held = this.bytes;
    this.#held = new Uint8Array(Math.max(held.byteLength + moreBytes, 2 * held.byteLength, this.#reservedBytes));
    this.#reservedBytes = 0;
    this.#held.set(held);
    this.#start = 0;
    this.#end = held.byteLength;
    this.#isOwn = true;
  }
}
