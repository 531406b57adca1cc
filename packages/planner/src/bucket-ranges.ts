import type { RankMetas } from '@checkpoint-engine/meta';
import { alignUp } from './align.ts';
import { bucketTensors } from './bucket-tensors.ts';
import type { Plan } from './plan.ts';
import type { TensorRanges } from './transfer.ts';

/**
 * Returns the tensors of each bucket as ranges, at the same offsets in the bucket as `bucketLayout`.
 *
 * @param metas The metas from which the plan was made.
 * @returns By position of the bucket in the plan.
 * @throws {RangeError} A bucket does not belong to these metas.
 */
export function bucketRanges(metas: readonly RankMetas[], { buckets, alignBytes }: Plan): TensorRanges[] {
  const ownerOf = new Map<number, { readonly metas: RankMetas; readonly firstIndex: number }>();
  let firstIndex = 0;
  for (const rankMetas of metas) {
    ownerOf.set(rankMetas.rank, { metas: rankMetas, firstIndex });
    firstIndex += rankMetas.tensors.length;
  }
  return buckets.map((bucket) => {
    const owner = ownerOf.get(bucket.ownerRank);
    if (owner === undefined)
      throw new RangeError(`Bucket ${bucket.index} belongs to rank ${bucket.ownerRank}, which has no metas`);
    const tensors = bucketTensors(owner.metas, bucket);
    const { indices, firstTensor } = bucket;
    const offsetBytes = new Float64Array(tensors.length);
    let endBytes = 0;
    for (const [at, { sizeBytes }] of tensors.entries()) {
      offsetBytes[at] = alignUp(endBytes, alignBytes);
      endBytes = offsetBytes[at]! + sizeBytes;
    }
    return {
      tensor: Uint32Array.from(tensors, (_, at) => owner.firstIndex + (indices?.[at] ?? firstTensor + at)),
      tensorOffsetBytes: new Float64Array(tensors.length),
      rangeBytes: Float64Array.from(tensors, ({ sizeBytes }) => sizeBytes),
      offsetBytes,
    };
  });
}
