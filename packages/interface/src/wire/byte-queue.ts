const NOTHING = new Uint8Array(0);

/**
 * Bytes of a stream that have arrived and are not taken yet, in one piece. It holds what has arrived and no more than
 * twice that, and copies each byte a bounded number of times however small the pieces are that it comes in.
 */
export class ByteQueue {
  /** Bytes `#start` to `#end` are those that are held. */
  #held: Uint8Array = NOTHING;
  #start = 0;
  #end = 0;
  /** Whether there may be room behind `#end`: what the caller passed is not written to. */
  #isOwn = false;
  #reservedBytes = 0;

  /** Bytes that are held. */
  get sizeBytes(): number {
    return this.#end - this.#start;
  }

  /** All bytes that are held; they share memory with the queue, and do not change. */
  get bytes(): Uint8Array {
    return this.#held.subarray(this.#start, this.#end);
  }

  /** Makes room for so many bytes at once when more arrive: for a sender that is known, whose frames are bounded. */
  reserve(sizeBytes: number): void {
    this.#reservedBytes = sizeBytes;
  }

  /** Takes bytes that arrived. They may be kept, and must not change. */
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

  /** Takes the first bytes out: `sizeBytes` of them, which must be held. They share memory with what was pushed. */
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

  /** Makes room for more bytes, twice what is held at least, so that many small pieces are not copied each time. */
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
