import { Buffer } from 'node:buffer';

/** One message as it travels: its length as a little-endian 32-bit number, then JSON. */
export function encodeFrame(message: unknown): Uint8Array {
  const text = JSON.stringify(message);
  const sizeBytes = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(4 + sizeBytes);
  frame.writeUInt32LE(sizeBytes, 0);
  frame.write(text, 4);
  return frame;
}

/** Puts a stream's pieces together to messages. */
export class FrameDecoder {
  /** Longer messages are refused. */
  mostBytes: number;
  #pieces: Buffer[] = [];
  #sizeBytes = 0;

  constructor(mostBytes: number) {
    this.mostBytes = mostBytes;
  }

  /**
   * The messages that are complete with `piece`, decoded as they are asked for.
   *
   * @throws {RangeError} A message is too long. @throws {SyntaxError} One is not JSON.
   */
  *push(piece: Uint8Array): Generator<unknown> {
    this.#pieces.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    this.#sizeBytes += piece.byteLength;
    while (this.#sizeBytes >= 4) {
      if (this.#pieces[0]!.length < 4) this.#join();
      const sizeBytes = this.#pieces[0]!.readUInt32LE(0);
      if (sizeBytes > this.mostBytes)
        throw new RangeError(`A message of ${sizeBytes} bytes, at most ${this.mostBytes}`);
      if (this.#sizeBytes < 4 + sizeBytes) return;
      this.#join();
      const [joined] = this.#pieces;
      this.#pieces = [joined!.subarray(4 + sizeBytes)];
      this.#sizeBytes -= 4 + sizeBytes;
      yield JSON.parse(joined!.toString('utf8', 4, 4 + sizeBytes));
    }
  }

  #join(): void {
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
  }
}
