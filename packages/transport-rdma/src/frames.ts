import { Buffer } from 'node:buffer';
import { FrameCutter } from '@checkpoint-engine/interface/wire';

/** Encodes one message: its length as a little-endian 32-bit number, then JSON. */
export function encodeFrame(message: unknown): Uint8Array {
  const text = JSON.stringify(message);
  const sizeBytes = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(4 + sizeBytes);
  frame.writeUInt32LE(sizeBytes, 0);
  frame.write(text, 4);
  return frame;
}

/** Assembles messages from the pieces of a stream. */
export class FrameDecoder {
  readonly #cutter: FrameCutter;

  /** @param maxBytes Longer messages are refused; decoded JSON takes about ten times its size. */
  constructor(maxBytes: number) {
    this.#cutter = new FrameCutter({ limitBytes: maxBytes, littleEndian: true });
  }

  /** Longer messages are refused from now on. */
  set maxBytes(maxBytes: number) {
    this.#cutter.limitBytes = maxBytes;
  }

  /**
   * Yields the messages that `piece` completes, and decodes each one on demand.
   *
   * @throws {RangeError} A message is too long.
   * @throws {SyntaxError} One is not JSON.
   */
  *push(piece: Uint8Array): Generator<unknown> {
    this.#cutter.push(piece);
    for (let payload = this.#cutter.next(); payload !== undefined; payload = this.#cutter.next()) {
      yield JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8'));
    }
  }
}
