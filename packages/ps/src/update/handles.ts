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
 * `[k * size, (k + 1) * size)` form instance k.
 */
export async function gatherHandles(
  store: Store,
  deviceUuid: string,
  address: () => Promise<string>,
  inferenceParallelSize: number,
  options: WaitOptions,
): Promise<InferenceGroup> {
  const replies = await exchange(store, 'handles', async () => encode([deviceUuid, await address()]), options);
  const index = Math.floor(store.rank / inferenceParallelSize);
  const ranks = store.members.filter((rank) => Math.floor(rank / inferenceParallelSize) === index);
  const handles = ranks.map((rank) => decode(replies[store.members.indexOf(rank)]!) as [string, string]);
  return { index, isHead: store.rank === ranks[0], handles: Object.fromEntries(handles) };
}

/** Whether another rank of the same host uses this rank's device too (several ranks on one GPU: tests). */
export function sharesDevice(members: readonly number[], proposals: readonly Proposal[], rank: number): boolean {
  const own = proposals[members.indexOf(rank)]!;
  return proposals.some(
    (other, index) => members[index] !== rank && other.host === own.host && other.deviceUuid === own.deviceUuid,
  );
}
