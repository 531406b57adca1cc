import { WORKER_FRAME_LIMITS, type WorkerMessage } from '@checkpoint-engine/interface';
import { checkMsgpack } from '@checkpoint-engine/interface/wire';
import { Decoder, Encoder } from '@msgpack/msgpack';

const decoder = new Decoder();
const encoder = new Encoder({ ignoreUndefined: true });

/** The bytes of one message: its size (u32, little-endian) and its msgpack map. */
export function encodeFrame(message: WorkerMessage): Uint8Array {
  const payload = encoder.encodeSharedRef(message);
  const frame = new Uint8Array(4 + payload.byteLength);
  new DataView(frame.buffer).setUint32(0, payload.byteLength, true);
  frame.set(payload, 4);
  return frame;
}

/** Cuts a byte stream into decoded payloads. Holds what has arrived, never what a frame's size promises. */
export class FrameReader {
  readonly #limitBytes: number;
  #chunks: Uint8Array[] = [];
  #heldBytes = 0;
  /** Bytes that the frame at the front needs, its size included; 4 until that is known. */
  #neededBytes = 4;

  constructor(limitBytes: number = WORKER_FRAME_LIMITS.fromServer) {
    this.#limitBytes = limitBytes;
  }

  /** Takes bytes that arrived. */
  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#heldBytes += chunk.byteLength;
  }

  /**
   * The next whole payload, or `undefined` until more bytes arrive.
   *
   * @throws {RangeError} The frame is too large, or is not msgpack.
   */
  next(): unknown {
    if (this.#heldBytes < this.#neededBytes) return undefined;
    const held = this.#joined();
    const sizeBytes = new DataView(held.buffer, held.byteOffset).getUint32(0, true);
    if (sizeBytes > this.#limitBytes) {
      throw new RangeError(`a frame of ${sizeBytes} bytes, at most ${this.#limitBytes} are accepted`);
    }
    this.#neededBytes = 4 + sizeBytes;
    if (held.byteLength < this.#neededBytes) return undefined;
    const payload = held.subarray(4, this.#neededBytes);
    const rest = held.subarray(this.#neededBytes);
    this.#chunks = rest.byteLength > 0 ? [rest] : [];
    this.#heldBytes = rest.byteLength;
    this.#neededBytes = 4;
    return decodePayload(payload);
  }

  /** All bytes held, in one piece. */
  #joined(): Uint8Array {
    if (this.#chunks.length === 1) return this.#chunks[0]!;
    const joined = new Uint8Array(this.#heldBytes);
    let at = 0;
    for (const chunk of this.#chunks) {
      joined.set(chunk, at);
      at += chunk.byteLength;
    }
    this.#chunks = [joined];
    return joined;
  }
}

function decodePayload(payload: Uint8Array): unknown {
  try {
    checkMsgpack(payload, { maxBytes: 32 * 2 ** 20, maxDepth: 8, maxValues: 4_000_000, maxContainers: 600_000 });
    return decoder.decode(payload);
  } catch (error) {
    throw new RangeError('a frame that is not msgpack', { cause: error });
  }
}
