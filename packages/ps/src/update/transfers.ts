import { assignReceiverRanks, type Bucket, type Plan, type Topology } from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';
import type { Proposal } from './agreement.ts';
import type { Roles } from './roles.ts';

/**
 * One bucket in transfer, and the rank that sends it to the others. `bucket.index` is its position in the transfers.
 */
export interface Transfer {
  readonly bucket: Bucket;
  readonly root: number;
}

/** The inputs of {@link planTransfers}. Equal on all ranks, except for `rank`. */
export interface TransfersInput {
  readonly plan: Plan;
  readonly roles: Roles;
  readonly metas: WorldMetas;
  /** The metas' ranks are not those of this world. */
  readonly isForeign: boolean;
  readonly proposals: ReadonlyMap<number, Proposal>;
  readonly rank: number;
}

/**
 * Decides which rank sends which bucket to the others, and in which order.
 *
 * In a group, members send what they own. Receivers read what no member owns, and the reads are distributed over the
 * NICs of both sides. Without a group each receiver reads all buckets itself, and starts with a different one, so that
 * receivers do not all read from the same owner at a time.
 *
 * @throws `CE_METAS_INVALID`, `CE_PLAN_NO_RECEIVER`
 */
export function planTransfers(input: TransfersInput): Transfer[] {
  const { plan, roles, rank } = input;
  if (roles.group.length > 0) return numbered(sharedTransfers(input));
  const { receivers } = roles;
  const start = Math.floor((Math.max(0, receivers.indexOf(rank)) * plan.buckets.length) / receivers.length);
  return numbered(
    [...plan.buckets.slice(start), ...plan.buckets.slice(0, start)].map((bucket) => ({ bucket, root: rank })),
  );
}

/** Buckets that are read take the positions that they have in the plan, in the order of their assignment. */
function sharedTransfers({ plan, roles, metas, isForeign, proposals }: TransfersInput): Transfer[] {
  const isSent = ({ ownerRank }: Bucket): boolean => !isForeign && roles.group.includes(ownerRank);
  const assigned = assignReceiverRanks(
    plan.buckets.filter((bucket) => !isSent(bucket)).map((bucket) => ({ ownerRank: bucket.ownerRank, bucket })),
    topologyOf(roles.receivers.map((rank) => [rank, proposals.get(rank)!])),
    topologyOf(metas.map((rankMetas) => [rankMetas.rank, rankMetas])),
  ).values();
  return plan.buckets.map((bucket) => {
    if (isSent(bucket)) return { bucket, root: bucket.ownerRank };
    const { bucket: read, receiverRank } = assigned.next().value!;
    return { bucket: read, root: receiverRank };
  });
}

function numbered(transfers: readonly Transfer[]): Transfer[] {
  return transfers.map(({ bucket, root }, index) => ({ bucket: { ...bucket, index }, root }));
}

/** Groups ranks by the NICs that they have in common. */
export function topologyOf(ranks: Iterable<readonly [number, { host: string; nics: readonly string[] }]>): Topology {
  const topology = new Map<string, Set<number>>();
  for (const [rank, { host, nics }] of ranks) {
    const nic = `${nics.join(',')}@${host}`;
    topology.set(nic, (topology.get(nic) ?? new Set()).add(rank));
  }
  return topology;
}
