import { type ServerMessage, WORKER_FRAME_LIMITS } from '@checkpoint-engine/interface';
import { decode, encode } from '@msgpack/msgpack';

/** What a worker may send: flat maps and an error's nested ones, never a list whose length could be a lie. */
const DECODE_LIMITS = { maxArrayLength: 0, maxMapLength: 32, maxExtLength: 0 };

/**
 * The bytes of one message: its size (u32, little-endian) and its msgpack map.
 *
 * @throws {RangeError} The payload is larger than a worker accepts.
 */
export function encodeFrame(message: ServerMessage): Uint8Array {
  const payload = encode(message, { ignoreUndefined: true });
  if (payload.byteLength > WORKER_FRAME_LIMITS.fromServer) {
    throw new RangeError(
      `A ${message.type} message has ${payload.byteLength} bytes, a worker accepts ${WORKER_FRAME_LIMITS.fromServer}`,
    );
  }
  const frame = new Uint8Array(4 + payload.byteLength);
  new DataView(frame.buffer).setUint32(0, payload.byteLength, true);
  frame.set(payload, 4);
  return frame;
}

/** A message as it came in: a map with a type. What else is in it is for the reader to check. */
export interface ReceivedMessage {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Cuts a byte stream into messages. Holds what has arrived, never what a frame's size promises. */
export class FrameReader {
  /** Most bytes of a payload. */
  limitBytes: number = WORKER_FRAME_LIMITS.hello;
  #chunks: Uint8Array[] = [];
  #heldBytes = 0;

  /** Takes bytes that arrived. */
  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#heldBytes += chunk.byteLength;
  }

  /**
   * The next whole message, or `undefined` until more bytes arrive.
   *
   * @throws {RangeError} The frame is larger than {@link FrameReader.limitBytes}, or is no map with a type.
   */
  next(): ReceivedMessage | undefined {
    if (this.#heldBytes < 4) return undefined;
    const sizeBytes = new DataView(this.#joined(4).buffer).getUint32(0, true);
    if (sizeBytes > this.limitBytes) {
      throw new RangeError(`a frame of ${sizeBytes} bytes, at most ${this.limitBytes} are accepted`);
    }
    if (this.#heldBytes < 4 + sizeBytes) return undefined;
    const frame = this.#joined(4 + sizeBytes);
    this.#drop(4 + sizeBytes);
    return parse(frame.subarray(4));
  }

  /** A copy of the first bytes held. */
  #joined(sizeBytes: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(sizeBytes);
    let at = 0;
    for (const chunk of this.#chunks) {
      if (at === sizeBytes) break;
      const part = chunk.subarray(0, sizeBytes - at);
      bytes.set(part, at);
      at += part.byteLength;
    }
    return bytes;
  }

  #drop(sizeBytes: number): void {
    this.#heldBytes -= sizeBytes;
    let left = sizeBytes;
    while (left > 0) {
      const chunk = this.#chunks[0]!;
      if (chunk.byteLength > left) {
        this.#chunks[0] = chunk.subarray(left);
        return;
      }
      left -= chunk.byteLength;
      this.#chunks.shift();
    }
  }
}

function parse(payload: Uint8Array): ReceivedMessage {
  let value: unknown;
  try {
    value = decode(payload, DECODE_LIMITS);
  } catch (error) {
    throw new RangeError('a frame that is not msgpack', { cause: error });
  }
  if (typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string') {
    return value as ReceivedMessage;
  }
  throw new RangeError('a frame that is not a map with a type');
}
