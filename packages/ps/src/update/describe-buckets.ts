import { type Bucket, bucketLayout, type Plan } from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';
import type { BucketMessage } from '../session.ts';

/**
 * Builds the messages for workers. The layout is computed when a bucket's turn comes.
 *
 * @param only Tensors to describe to the worker. @default all
 */
export function describeBuckets(
  metas: WorldMetas,
  plan: Plan,
  only?: ReadonlySet<string>,
): (bucket: Bucket, ringOffsetBytes: number) => BucketMessage {
  const byRank = new Map(metas.map((rankMetas) => [rankMetas.rank, rankMetas]));
  return (bucket, ringOffsetBytes) => {
    const { tensors } = bucketLayout(byRank.get(bucket.ownerRank)!, bucket, plan.alignBytes);
    return {
      index: bucket.index,
      tensors: tensors
        .filter(({ name }) => only?.has(name) ?? true)
        .map((tensor) => ({ ...tensor, offsetBytes: ringOffsetBytes + tensor.offsetBytes })),
    };
  };
}
