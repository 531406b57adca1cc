import { checkMsgpack, type MsgpackLimits } from '@checkpoint-engine/interface/wire';
import { Decoder } from '@msgpack/msgpack';

const decoder = new Decoder();

/**
 * Decodes msgpack from another process. Checks the cost before any allocation.
 *
 * @throws {RangeError} It exceeds the limits, or is not one msgpack value.
 */
export function decodeBounded(bytes: Uint8Array, limits: MsgpackLimits): unknown {
  checkMsgpack(bytes, limits);
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new RangeError('a message that is not msgpack', { cause });
  }
}

/** Limits for messages between ranks through the store: small maps and lists around bytes, which may be large. */
const MEMBER_LIMITS: MsgpackLimits = { maxBytes: 2 ** 31, maxDepth: 32, maxValues: 1_000_000, maxContainers: 100_000 };

/** Decodes a value that another rank put into the store. @throws {RangeError} It exceeds the limits. */
export const decodeFromRank = <T>(bytes: Uint8Array): T => decodeBounded(bytes, MEMBER_LIMITS) as T;
