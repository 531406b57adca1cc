import { ByteQueue } from './byte-queue.ts';

const HEADER_BYTES = 4;

/** Options of {@link FrameCutter}. */
export interface FrameCutterOptions {
  /** Maximum bytes of a payload; see {@link FrameCutter.limitBytes}. */
  readonly limitBytes: number;
  /** Whether the size before a payload is little-endian. */
  readonly littleEndian: boolean;
}

/**
 * Splits a byte stream into payloads, each preceded by its size (u32). It allocates memory for bytes that have arrived,
 * never for an announced size.
 */
export class FrameCutter {
  /** Maximum bytes of a payload. The owner may raise it once the sender is authenticated. */
  limitBytes: number;
  readonly #littleEndian: boolean;
  readonly #queue = new ByteQueue();

  /** Creates an empty cutter. */
  constructor({ limitBytes, littleEndian }: FrameCutterOptions) {
    this.limitBytes = limitBytes;
    this.#littleEndian = littleEndian;
  }

  /** Number of bytes that have arrived and do not belong to a returned payload. */
  get heldBytes(): number {
    return this.#queue.sizeBytes;
  }

  /** Appends bytes. Call {@link FrameCutter.next} until it returns `undefined` before the next push. */
  push(chunk: Uint8Array): void {
    this.#queue.push(chunk);
  }

  /**
   * Returns the next complete payload, or `undefined` until more bytes arrive. It shares memory with pushed bytes.
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
