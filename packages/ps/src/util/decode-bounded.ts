import { checkMsgpack, type MsgpackLimits } from '@checkpoint-engine/interface/wire';
import { Decoder } from '@msgpack/msgpack';

const decoder = new Decoder();

/**
 * Decodes msgpack that another process sent: what it may cost is checked before anything is allocated for it.
 *
 * @throws {RangeError} It breaks the limits, or is not one msgpack value.
 */
export function decodeBounded(bytes: Uint8Array, limits: MsgpackLimits): unknown {
  checkMsgpack(bytes, limits);
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new RangeError('a message that is not msgpack', { cause });
  }
}

/** Of what ranks tell each other through the store: small maps and lists around bytes, which may be large. */
const MEMBER_LIMITS: MsgpackLimits = { maxBytes: 2 ** 31, maxDepth: 32, maxValues: 1_000_000, maxContainers: 100_000 };

/** Decodes what another rank put into the store, as what this release puts there. @throws {RangeError} It costs too much. */
export const decodeFromRank = <T>(bytes: Uint8Array): T => decodeBounded(bytes, MEMBER_LIMITS) as T;
