import { type ServerMessage, WORKER_FRAME_LIMITS } from '@checkpoint-engine/interface';
import { FrameCutter, type MsgpackLimits } from '@checkpoint-engine/interface/wire';
import { decodeBounded } from '@checkpoint-engine/store/internal';
import { Encoder } from '@msgpack/msgpack';

/** Limits of a hello, by its payload's size {@link WORKER_FRAME_LIMITS}. */
const HELLO_LIMITS: MsgpackLimits = { maxBytes: WORKER_FRAME_LIMITS.hello, maxDepth: 4, maxValues: 64 };
/** Limits of any other message of a worker. */
const WORKER_LIMITS: MsgpackLimits = { maxBytes: WORKER_FRAME_LIMITS.fromWorker, maxDepth: 16, maxValues: 100_000 };

const encoder = new Encoder({ ignoreUndefined: true });

/**
 * Encodes one message: its size (u32, little-endian) and its msgpack map.
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

/** A received message: a map with a type. The reader checks its other fields. */
export interface ReceivedMessage {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Divides a byte stream into messages. */
export class FrameReader {
  readonly #cutter = new FrameCutter({ limitBytes: HELLO_LIMITS.maxBytes, littleEndian: true });
  #limits = HELLO_LIMITS;

  /** The sender has presented the key: the limits of workers apply. */
  trust(): void {
    this.#limits = WORKER_LIMITS;
    this.#cutter.limitBytes = WORKER_LIMITS.maxBytes;
  }

  /** Takes bytes that arrived. */
  push(chunk: Uint8Array): void {
    this.#cutter.push(chunk);
  }

  /**
   * Returns the next complete message, or `undefined` until more bytes arrive.
   *
   * @throws {RangeError} The frame is larger than its sender may send, or is not a map with a type.
   */
  next(): ReceivedMessage | undefined {
    const payload = this.#cutter.next();
    if (payload === undefined) return undefined;
    const value = decodeFrame(payload, this.#limits);
    if (typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string') {
      return value as ReceivedMessage;
    }
    throw new RangeError('a frame that is not a map with a type');
  }
}

function decodeFrame(payload: Uint8Array, limits: MsgpackLimits): unknown {
  try {
    return decodeBounded(payload, limits);
  } catch (error) {
    throw new RangeError('a frame that is not msgpack, or exceeds the limits', { cause: error });
  }
}
