import type { Store, WaitOptions } from '@checkpoint-engine/interface';
import { decode, encode } from '@msgpack/msgpack';
import { exchange } from '../util/exchange.ts';
import type { Proposal } from './agreement.ts';

/** The ranks that one inference instance spans, and whether this rank speaks to it. */
export interface InferenceGroup {
  readonly index: number;
  readonly isHead: boolean;
  /** Device UUID to worker address, for the members of this group. */
  readonly handles: Readonly<Record<string, string>>;
}

/**
 * Tells all ranks the addresses of all workers, and gives the ones of this rank's inference instance: ranks
 * `[k * size, (k + 1) * size)` form instance k; without a size all receivers are one.
 *
 * @param address Opens the address of this rank's worker; called where the rank is one of the receivers.
 */
export async function gatherHandles(
  store: Store,
  deviceUuid: string,
  receivers: readonly number[],
  address: () => Promise<string>,
  inferenceParallelSize: number | undefined,
  options: WaitOptions,
): Promise<InferenceGroup> {
  const isReceiver = receivers.includes(store.rank);
  const own = async (): Promise<Uint8Array> => encode(isReceiver ? [deviceUuid, await address()] : null);
  const replies = await exchange(store, 'handles', own, options);
  const instanceOf = (rank: number): number =>
    inferenceParallelSize === undefined ? 0 : Math.floor(rank / inferenceParallelSize);
  const index = instanceOf(store.rank);
  const ranks = isReceiver ? receivers.filter((rank) => instanceOf(rank) === index) : [];
  const handles = ranks.map((rank) => decode(replies[store.members.indexOf(rank)]!) as [string, string]);
  return { index, isHead: store.rank === ranks[0], handles: Object.fromEntries(handles) };
}

/** Whether another rank of the same host uses this rank's device too (several ranks on one GPU: tests). */
export function sharesDevice(proposals: ReadonlyMap<number, Proposal>, rank: number): boolean {
  const own = proposals.get(rank)!;
  return [...proposals].some(
    ([other, { host, deviceUuid }]) => other !== rank && host === own.host && deviceUuid === own.deviceUuid,
  );
}
