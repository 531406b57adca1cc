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
