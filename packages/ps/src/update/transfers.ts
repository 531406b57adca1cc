import {
  assignReceiverRanks,
  type Bucket,
  bucketRanges,
  type Plan,
  type TensorRanges,
  type Topology,
  type Transfer,
} from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';
import type { Proposal } from './agreement.ts';
import type { Roles } from './roles.ts';

/** A transfer of complete tensors, and the bucket that it is: its owner copies neighbors in its pool in one piece. */
export interface BucketTransfer extends Transfer {
  /** Has the index of the transfer. */
  readonly bucket: Bucket;
}

/** A bucket, and the rank that sends it to the receivers. */
interface Assignment {
  readonly bucket: Bucket;
  readonly readerRank: number;
}

/** The inputs of {@link planTransfers}. Equal on all ranks, except for `rank`. */
export interface TransfersInput {
  readonly plan: Plan;
  readonly roles: Roles;
  readonly metas: WorldMetas;
  /** Whether the metas' ranks are not those of this world. */
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
export function planTransfers(input: TransfersInput): BucketTransfer[] {
  const { plan, roles, metas, rank } = input;
  const { receivers } = roles;
  const ranges = rangesOf(metas, plan);
  const shared = roles.group.length > 0;
  return (shared ? sharedBuckets(input) : ownBuckets(input)).map(({ bucket, readerRank }, index) => ({
    ...ranges[bucket.index]!,
    ...{ index, readerRank, ownerRank: bucket.ownerRank, sizeBytes: bucket.sizeBytes },
    receivers: shared ? receivers : [rank],
    bucket: { ...bucket, index },
  }));
}

/** Without a group this rank reads all buckets for itself. */
function ownBuckets({ plan, roles, rank }: TransfersInput): Assignment[] {
  const { receivers } = roles;
  const start = Math.floor((Math.max(0, receivers.indexOf(rank)) * plan.buckets.length) / receivers.length);
  const rotated = [...plan.buckets.slice(start), ...plan.buckets.slice(0, start)];
  return rotated.map((bucket) => ({ bucket, readerRank: rank }));
}

/** Buckets that are read keep the positions that reads have in the plan, in the order of assignment. */
function sharedBuckets({ plan, roles, metas, isForeign, proposals }: TransfersInput): Assignment[] {
  const isSent = ({ ownerRank }: Bucket): boolean => !isForeign && roles.group.includes(ownerRank);
  const assigned = assignReceiverRanks(
    plan.buckets.filter((bucket) => !isSent(bucket)).map((bucket) => ({ ownerRank: bucket.ownerRank, bucket })),
    topologyOf(roles.receivers.map((rank) => [rank, proposals.get(rank)!])),
    topologyOf(metas.map((rankMetas) => [rankMetas.rank, rankMetas])),
  ).values();
  return plan.buckets.map((bucket) => {
    if (isSent(bucket)) return { bucket, readerRank: bucket.ownerRank };
    const { bucket: read, receiverRank } = assigned.next().value!;
    return { bucket: read, readerRank: receiverRank };
  });
}

const known = new WeakMap<Plan, readonly TensorRanges[]>();

/** The ranges of a plan's buckets, computed once per plan. */
function rangesOf(metas: WorldMetas, plan: Plan): readonly TensorRanges[] {
  const ranges = known.get(plan) ?? bucketRanges(metas, plan);
  known.set(plan, ranges);
  return ranges;
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
