import { WORKER_FRAME_LIMITS, type WorkerMessage } from '@checkpoint-engine/interface';
import { checkMsgpack, FrameCutter, type MsgpackLimits } from '@checkpoint-engine/interface/wire';
import { Decoder, Encoder } from '@msgpack/msgpack';

/**
 * Limits of a message from the server: a bucket has about one list and seven values for each tensor, and the
 * tensor's dimensions.
 */
const SERVER_LIMITS: MsgpackLimits = {
  maxBytes: WORKER_FRAME_LIMITS.fromServer,
  maxDepth: 16,
  maxValues: 6_000_000,
  maxContainers: 600_000,
};

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

/** Cuts a byte stream into decoded payloads. */
export class FrameReader {
  readonly #cutter = new FrameCutter({ limitBytes: SERVER_LIMITS.maxBytes, littleEndian: true });

  /** Appends received bytes. */
  push(chunk: Uint8Array): void {
    this.#cutter.push(chunk);
  }

  /**
   * The next whole payload, or `undefined` until more bytes arrive.
   *
   * @throws {RangeError} The frame is too large, or is not msgpack.
   */
  next(): unknown {
    const payload = this.#cutter.next();
    return payload === undefined ? undefined : decodePayload(payload);
  }
}

function decodePayload(payload: Uint8Array): unknown {
  try {
    checkMsgpack(payload, SERVER_LIMITS);
    return decoder.decode(payload);
  } catch (error) {
    throw new RangeError('a frame that is not msgpack, or exceeds the limits', { cause: error });
  }
}
