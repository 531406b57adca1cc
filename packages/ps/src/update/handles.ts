import type { Store, WaitOptions } from '@checkpoint-engine/interface';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import { exchange } from '../util/exchange.ts';
import type { Proposal } from './agreement.ts';

/** One rank's message to the others about its worker and ring. */
export interface OwnHandles {
  /** Opens the address of this rank's worker. Called if the rank is one of the receivers. */
  address(): Promise<string>;
  /** The handle of this rank's ring. */
  readonly ring: Uint8Array | undefined;
  /** This rank can send its part. The exchange ends after all ranks are ready, and fails if one of them rejects. */
  readonly ready: Promise<void>;
}

type Handles = [worker: [deviceUuid: string, address: string] | null, ring: Uint8Array | null];

/** The ranks of one inference instance, and whether this rank sends its requests. */
export interface InferenceGroup {
  readonly index: number;
  readonly isHead: boolean;
  /** Ascending; empty if this rank receives nothing. */
  readonly ranks: readonly number[];
  /** Device UUID to worker address, for the members of this group. */
  readonly handles: Readonly<Record<string, string>>;
  /** The handle of a rank's ring; `undefined` if it has none. */
  ringOf(rank: number): Uint8Array | undefined;
}

/**
 * Exchanges the addresses of all workers, and returns those of this rank's inference instance: ranks
 * `[k * size, (k + 1) * size)` form instance k; without a size all receivers are one instance.
 */
export async function gatherHandles(
  store: Store,
  deviceUuid: string,
  receivers: readonly number[],
  own: OwnHandles,
  inferenceParallelSize: number | undefined,
  options: WaitOptions,
): Promise<InferenceGroup> {
  const isReceiver = receivers.includes(store.rank);
  const produce = async (): Promise<Uint8Array> => {
    const address = isReceiver ? await own.address() : undefined;
    await own.ready;
    return encode([address === undefined ? null : [deviceUuid, address], own.ring ?? null] satisfies Handles);
  };
  const replies = (await exchange(store, 'handles', produce, options)).map((reply) => decodeFromRank<Handles>(reply));
  const instanceOf = (rank: number): number =>
    inferenceParallelSize === undefined ? 0 : Math.floor(rank / inferenceParallelSize);
  const index = instanceOf(store.rank);
  const ranks = isReceiver ? receivers.filter((rank) => instanceOf(rank) === index) : [];
  const replyOf = (rank: number): Handles => replies[store.members.indexOf(rank)]!;
  return {
    index,
    isHead: store.rank === ranks[0],
    ranks,
    handles: Object.fromEntries(ranks.map((rank) => replyOf(rank)[0]!)),
    ringOf: (rank) => replyOf(rank)[1] ?? undefined,
  };
}

/** Whether another rank of the same host uses this rank's device as well (several ranks on one GPU: tests). */
export function sharesDevice(proposals: ReadonlyMap<number, Proposal>, rank: number): boolean {
  const own = proposals.get(rank)!;
  return [...proposals].some(
    ([other, { host, deviceUuid }]) => other !== rank && host === own.host && deviceUuid === own.deviceUuid,
  );
}
