import { type ServerMessage, WORKER_FRAME_LIMITS } from '@checkpoint-engine/interface';
import { Decoder, Encoder } from '@msgpack/msgpack';

/** What a worker may send: flat maps and an error's nested ones, never a list whose length could be a lie. */
const decoder = new Decoder({ maxArrayLength: 0, maxMapLength: 32, maxExtLength: 0 });
const encoder = new Encoder({ ignoreUndefined: true });

/**
 * The bytes of one message: its size (u32, little-endian) and its msgpack map.
 *
 * @throws {RangeError} The payload is larger than a worker accepts.
 */
export function encodeFrame(message: ServerMessage): Uint8Array {
  const payload = encoder.encodeSharedRef(message);
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
  /** Bytes that the frame at the front needs, its size included; 4 until that is known. */
  #neededBytes = 4;

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
    if (this.#heldBytes < this.#neededBytes) return undefined;
    const held = this.#joined();
    const sizeBytes = new DataView(held.buffer, held.byteOffset).getUint32(0, true);
    if (sizeBytes > this.limitBytes) {
      throw new RangeError(`a frame of ${sizeBytes} bytes, at most ${this.limitBytes} are accepted`);
    }
    this.#neededBytes = 4 + sizeBytes;
    if (held.byteLength < this.#neededBytes) return undefined;
    const payload = held.subarray(4, this.#neededBytes);
    const rest = held.subarray(this.#neededBytes);
    this.#chunks = rest.byteLength > 0 ? [rest] : [];
    this.#heldBytes = rest.byteLength;
    this.#neededBytes = 4;
    return parse(payload);
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

function parse(payload: Uint8Array): ReceivedMessage {
  let value: unknown;
  try {
    value = decoder.decode(payload);
  } catch (error) {
    throw new RangeError('a frame that is not msgpack', { cause: error });
  }
  if (typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string') {
    return value as ReceivedMessage;
  }
  throw new RangeError('a frame that is not a map with a type');
}
