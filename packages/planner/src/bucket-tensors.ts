import type { ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import type { Bucket } from './plan.ts';

/**
 * Returns the tensors of a bucket in pool order, which is also their order in the bucket.
 *
 * @param metas The metas of `bucket.ownerRank` from which the plan was made.
 * @throws {RangeError} The bucket does not belong to these metas.
 */
export function bucketTensors(metas: RankMetas, bucket: Bucket): readonly ParameterMeta[] {
  const { firstTensor, tensorCount, indices, ownerRank } = bucket;
  const last = indices?.at(-1) ?? firstTensor + tensorCount - 1;
  if (metas.rank !== ownerRank || last >= metas.tensors.length) {
    throw new RangeError(
      `Bucket ${bucket.index} belongs to rank ${ownerRank}, tensors ${firstTensor} to ${last}, ` +
        `but the metas belong to rank ${metas.rank} with ${metas.tensors.length} tensors`,
    );
  }
  return indices?.map((index) => metas.tensors[index]!) ?? metas.tensors.slice(firstTensor, last + 1);
}
