import { checkMsgpack, FrameCutter, type MsgpackLimits } from '@checkpoint-engine/interface/wire';
import { Decoder, Encoder } from '@msgpack/msgpack';

/** One message of the control protocol: plain data with a name. */
export interface Frame {
  readonly type: string;
}

/** Limit of a frame from a process that has not proved its identity: a hello. */
export const HELLO_LIMITS: MsgpackLimits = { maxBytes: 1024, maxDepth: 1, maxValues: 8 };
/** Limit of a frame from a member: far more than any frame has; a larger one belongs to another protocol. */
export const MEMBER_LIMITS: MsgpackLimits = {
  maxBytes: 16 * 2 ** 20,
  maxDepth: 32,
  maxValues: 1_000_000,
  maxContainers: 200_000,
};

const headerBytes = 4;
const encoder = new Encoder({ ignoreUndefined: true });
const decoder = new Decoder();

/** Encodes a frame: its length (4 bytes, big-endian), then msgpack. */
export function encodeFrame(frame: Frame): Uint8Array {
  const body = encoder.encodeSharedRef(frame);
  const bytes = new Uint8Array(headerBytes + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length);
  bytes.set(body, headerBytes);
  return bytes;
}

/** Splits the data of a socket into frames. */
export class FrameReader {
  #limits: MsgpackLimits;
  readonly #cutter: FrameCutter;

  constructor(limits: MsgpackLimits = HELLO_LIMITS) {
    this.#limits = limits;
    this.#cutter = new FrameCutter({ limitBytes: limits.maxBytes, littleEndian: false });
  }

  /** Number of bytes that have arrived and do not belong to a returned frame. */
  get heldBytes(): number {
    return this.#cutter.heldBytes;
  }

  /** The limits of frames from now on. */
  set limits(limits: MsgpackLimits) {
    this.#limits = limits;
    this.#cutter.limitBytes = limits.maxBytes;
  }

  /** Takes the next bytes. */
  push(chunk: Uint8Array): void {
    this.#cutter.push(chunk);
  }

  /**
   * Returns the next complete frame, or `undefined` until more bytes arrive.
   *
   * @throws {RangeError} A frame exceeds the limits, or is invalid.
   */
  next(): Frame | undefined {
    const payload = this.#cutter.next();
    if (payload === undefined) return undefined;
    const value = decodeBounded(payload, this.#limits);
    if (typeof value === 'object' && value !== null && typeof Reflect.get(value, 'type') === 'string') {
      return value as Frame;
    }
    throw new RangeError(`A frame is an object with a type, not ${typeof value}`);
  }
}

/**
 * Decodes msgpack after checking its cost, before allocating memory for it.
 *
 * @throws {RangeError} It exceeds the limits.
 */
export function decodeBounded(bytes: Uint8Array, limits: MsgpackLimits): unknown {
  checkMsgpack(bytes, limits);
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new RangeError('a frame that is not msgpack', { cause });
  }
}
