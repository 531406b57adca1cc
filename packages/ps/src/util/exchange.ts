import {
  atRank,
  CheckpointEngineError,
  type SerializedError,
  type Store,
  type WaitOptions,
} from '@checkpoint-engine/interface';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';

type Envelope = { ok: Uint8Array } | { error: SerializedError };

const NOTHING = new Uint8Array(0);

/**
 * An all-gather in which a member can fail: every member then rejects with that error at once, instead of waiting for a
 * value that never comes.
 *
 * @param produce Returns this member's value. All members throw what it throws.
 * @returns The values in the order of the store's members.
 */
export async function exchange(
  store: Store,
  name: string,
  produce: () => Uint8Array | Promise<Uint8Array>,
  options?: WaitOptions,
): Promise<Uint8Array[]> {
  const { bytes, failure } = await seal(store.rank, produce);
  const replies = await store.allGather(name, bytes, options);
  if (failure !== undefined) throw failure;
  return replies.map(unseal);
}

/**
 * Sends the values of all members to the first one, and its result to all, so that a large value is sent once per
 * member and not once per pair. A failure rejects on all members, as with {@link exchange}.
 *
 * @param combine Called by the first member, with the values in the order of the store's members.
 */
export async function exchangeThroughFirst(
  store: Store,
  name: string,
  produce: () => Uint8Array | Promise<Uint8Array>,
  combine: (values: readonly Uint8Array[]) => Promise<Uint8Array>,
  options?: WaitOptions,
): Promise<Uint8Array> {
  const first = store.members.slice(0, 1);
  const own = await seal(store.rank, produce);
  const values = await store.allGather(name, own.bytes, { ...options, to: first });
  const isFirst = store.rank === first[0];
  const combined = isFirst ? await seal(store.rank, () => combine(values.map(unseal))) : undefined;
  const [reply] = await store.allGather(name, combined?.bytes ?? NOTHING, { ...options, from: first });
  if (own.failure !== undefined) throw own.failure;
  return unseal(reply!);
}

/** A member's value, or its failure. */
async function seal(
  rank: number,
  produce: () => Uint8Array | Promise<Uint8Array>,
): Promise<{ bytes: Uint8Array; failure?: CheckpointEngineError }> {
  const close = (envelope: Envelope): Uint8Array => encode(envelope, { ignoreUndefined: true });
  try {
    return { bytes: close({ ok: await produce() }) };
  } catch (error) {
    const failure = atRank(error, rank);
    return { bytes: close({ error: failure.toJSON() }), failure };
  }
}

function unseal(bytes: Uint8Array): Uint8Array {
  const envelope = decodeFromRank<Envelope>(bytes);
  if ('error' in envelope) throw CheckpointEngineError.fromJSON(envelope.error);
  return envelope.ok;
}
