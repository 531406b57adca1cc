import type { ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import type { Bucket } from './plan.ts';

/**
 * The tensors of a bucket, in pool order, which is their order in the bucket.
 *
 * @param metas Of `bucket.ownerRank`, the same that the plan was made from.
 * @throws {RangeError} The bucket is not of these metas.
 */
export function bucketTensors(metas: RankMetas, bucket: Bucket): readonly ParameterMeta[] {
  const { firstTensor, tensorCount, indices, ownerRank } = bucket;
  const last = indices?.at(-1) ?? firstTensor + tensorCount - 1;
  if (metas.rank !== ownerRank || last >= metas.tensors.length) {
    throw new RangeError(
      `Bucket ${bucket.index} is of rank ${ownerRank}, tensors ${firstTensor} to ${last}: ` +
        `the metas are of rank ${metas.rank} with ${metas.tensors.length} tensors`,
    );
  }
  return indices?.map((index) => metas.tensors[index]!) ?? metas.tensors.slice(firstTensor, last + 1);
}
