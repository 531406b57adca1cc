import type { RankMetas } from '@checkpoint-engine/meta';
import type { Plan } from './plan.ts';

/** The share of one rank. */
export interface OwnerSummary {
  readonly rank: number;
  readonly host: string;
  readonly deviceUuid: string;
  /** Bytes of its tensors, without alignment. */
  readonly sizeBytes: number;
  readonly tensorCount: number;
  readonly bucketCount: number;
}

/** Sizes of the buckets of a plan; all are 0 if it has none. */
export interface BucketSizes {
  readonly minBytes: number;
  /** The median; for an even count the lower one of the middle two. */
  readonly medianBytes: number;
  readonly maxBytes: number;
}

/** A plan in figures. Plain data. */
export interface PlanSummary {
  readonly digest: string;
  /** Bytes of all tensors, without alignment. */
  readonly totalBytes: number;
  readonly tensorCount: number;
  readonly bucketCount: number;
  readonly bucketSizes: BucketSizes;
  /** Bytes sent in addition to those of the tensors. */
  readonly alignmentBytes: number;
  /**
   * Bytes of the owner with the most, divided by the mean of all ranks; 1 is perfect balance, and the value of an empty
   * plan.
   */
  readonly imbalance: number;
  /** All ranks, ascending, including those without tensors. */
  readonly owners: readonly OwnerSummary[];
}

/** Summarizes a plan. `metasByRank` are the metas from which it was made. */
export function planSummary(plan: Plan, metasByRank: readonly RankMetas[]): PlanSummary {
  const { digest, totalBytes, tensorCount, buckets } = plan;
  const bucketCounts = new Map<number, number>();
  for (const { ownerRank } of buckets) bucketCounts.set(ownerRank, (bucketCounts.get(ownerRank) ?? 0) + 1);
  const owners = metasByRank
    .map(({ rank, host, deviceUuid, tensors }) => ({
      rank,
      host,
      deviceUuid,
      sizeBytes: tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      tensorCount: tensors.length,
      bucketCount: bucketCounts.get(rank) ?? 0,
    }))
    .sort((a, b) => a.rank - b.rank);
  const maxBytes = owners.reduce((most, { sizeBytes }) => Math.max(most, sizeBytes), 0);
  return {
    digest,
    totalBytes,
    tensorCount,
    bucketCount: buckets.length,
    bucketSizes: bucketSizes(plan),
    alignmentBytes: buckets.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) - totalBytes,
    imbalance: totalBytes === 0 ? 1 : (maxBytes * owners.length) / totalBytes,
    owners,
  };
}

function bucketSizes({ buckets }: Plan): BucketSizes {
  const sizes = buckets.map(({ sizeBytes }) => sizeBytes).sort((a, b) => a - b);
  const at = (index: number): number => sizes[index] ?? 0;
  return { minBytes: at(0), medianBytes: at((sizes.length - 1) >> 1), maxBytes: at(sizes.length - 1) };
}
