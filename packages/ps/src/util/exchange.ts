import {
  CheckpointEngineError,
  type SerializedError,
  type Store,
  type WaitOptions,
} from '@checkpoint-engine/interface';
import { decode, encode } from '@msgpack/msgpack';
import { atRank } from './at-rank.ts';

type Envelope = { ok: Uint8Array } | { error: SerializedError };

/**
 * All-gather in which a member that fails says so: every member then rejects with that error at once, instead of
 * waiting for a value that never comes.
 *
 * @param produce Makes this member's value; what it throws is what all members throw.
 * @returns The values in the order of the store's members.
 */
export async function exchange(
  store: Store,
  name: string,
  produce: () => Uint8Array | Promise<Uint8Array>,
  options?: WaitOptions,
): Promise<Uint8Array[]> {
  let envelope: Envelope;
  let failure: unknown;
  try {
    envelope = { ok: await produce() };
  } catch (error) {
    failure = atRank(error, store.rank);
    envelope = { error: (failure as CheckpointEngineError).toJSON() };
  }
  const replies = await store.allGather(name, encode(envelope, { ignoreUndefined: true }), options);
  if (failure !== undefined) throw failure;
  return replies.map((reply) => {
    const other = decode(reply) as Envelope;
    if ('error' in other) throw CheckpointEngineError.fromJSON(other.error);
    return other.ok;
  });
}
