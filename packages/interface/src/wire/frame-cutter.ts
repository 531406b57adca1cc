import { ByteQueue } from './byte-queue.ts';

const HEADER_BYTES = 4;

/** Options of {@link FrameCutter}. */
export interface FrameCutterOptions {
  /** Most bytes of a payload; see {@link FrameCutter.limitBytes}. */
  readonly limitBytes: number;
  /** How the size in front of a payload is written. */
  readonly littleEndian: boolean;
}

/**
 * Cuts a byte stream into payloads that each have their size (u32) in front. It holds what has arrived, never what a
 * size promises.
 */
export class FrameCutter {
  /** Most bytes of a payload. May be raised once the sender has proved who it is. */
  limitBytes: number;
  readonly #littleEndian: boolean;
  readonly #queue = new ByteQueue();

  /** A cutter that has got nothing yet. */
  constructor({ limitBytes, littleEndian }: FrameCutterOptions) {
    this.limitBytes = limitBytes;
    this.#littleEndian = littleEndian;
  }

  /** Bytes that have arrived and are not cut off yet. */
  get heldBytes(): number {
    return this.#queue.sizeBytes;
  }

  /** Takes bytes that arrived. Ask for {@link FrameCutter.next} until there is none before the next push. */
  push(chunk: Uint8Array): void {
    this.#queue.push(chunk);
  }

  /**
   * The next whole payload, or `undefined` until more bytes arrive. It shares memory with what was pushed.
   *
   * @throws {RangeError} The payload is larger than {@link FrameCutter.limitBytes}.
   */
  next(): Uint8Array | undefined {
    if (this.heldBytes < HEADER_BYTES) return undefined;
    const { buffer, byteOffset } = this.#queue.bytes;
    const sizeBytes = new DataView(buffer, byteOffset).getUint32(0, this.#littleEndian);
    if (sizeBytes > this.limitBytes) {
      throw new RangeError(`a frame of ${sizeBytes} bytes, at most ${this.limitBytes} are accepted`);
    }
    if (this.heldBytes < HEADER_BYTES + sizeBytes) return undefined;
    this.#queue.take(HEADER_BYTES);
    return this.#queue.take(sizeBytes);
  }
}
