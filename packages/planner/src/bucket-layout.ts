import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { DType, ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import { alignUp } from './align.ts';
import { bucketTensors } from './bucket-tensors.ts';
import { checkPowerOfTwo } from './check-argument.ts';
import { formatBytesExactly } from './format-bytes.ts';
import type { Bucket } from './plan.ts';

/** A tensor and its location in its bucket. */
export interface BucketTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  /** Bytes from the start of the bucket. */
  readonly offsetBytes: number;
}

/** One range of the owner's pool to copy into the bucket. */
export interface BucketCopy {
  /** Index of the pool region. */
  readonly region: number;
  /** Bytes from the start of the region. */
  readonly offsetBytes: number;
  /** Bytes from the start of the bucket. */
  readonly bucketOffsetBytes: number;
  readonly sizeBytes: number;
}

/** Result of {@link bucketLayout}. */
export interface BucketLayout {
  readonly tensors: readonly BucketTensor[];
  /** Ascending in the bucket, without overlap; together the copies fill every tensor. */
  readonly copies: readonly BucketCopy[];
}

/**
 * Computes the location of each tensor in a bucket, and the pool ranges that fill the bucket.
 *
 * Neighbors that are the same distance apart in the pool as in the bucket become one copy, alignment gaps included. If
 * the pool of one region has the bucket's alignment, one copy fills the whole bucket. No copy reads outside of its
 * region. Bytes of the bucket between tensors stay undefined.
 *
 * @param metas      The metas of `bucket.ownerRank` from which the plan was made.
 * @param alignBytes The `alignBytes` of the plan.
 * @throws {CheckpointEngineError} `CE_METAS_INVALID` naming a tensor that exceeds its region.
 * @throws {RangeError} The bucket does not belong to these metas.
 */
export function bucketLayout(metas: RankMetas, bucket: Bucket, alignBytes: number): BucketLayout {
  checkPowerOfTwo('alignBytes', alignBytes);
  const tensors: BucketTensor[] = [];
  const copies: BucketCopy[] = [];
  let endBytes = 0;
  for (const tensor of bucketTensors(metas, bucket)) {
    const { name, dtype, shape, sizeBytes } = tensor;
    checkInsideRegion(tensor, metas);
    const offsetBytes = alignUp(endBytes, alignBytes);
    tensors.push({ name, dtype, shape, sizeBytes, offsetBytes });
    if (sizeBytes > 0) addCopy(copies, tensor, offsetBytes);
    endBytes = offsetBytes + sizeBytes;
  }
  return { tensors, copies };
}

/** Extends the last copy to the end of `tensor` if that fills it correctly, else adds a copy. */
function addCopy(copies: BucketCopy[], tensor: ParameterMeta, bucketOffsetBytes: number): void {
  const { region, offsetBytes, sizeBytes } = tensor;
  const last = copies.at(-1);
  const distanceBytes = last && bucketOffsetBytes - last.bucketOffsetBytes;
  if (last?.region === region && offsetBytes - last.offsetBytes === distanceBytes) {
    copies[copies.length - 1] = { ...last, sizeBytes: distanceBytes + sizeBytes };
  } else {
    copies.push({ region, offsetBytes, bucketOffsetBytes, sizeBytes });
  }
}

function checkInsideRegion(tensor: ParameterMeta, { rank, regions }: RankMetas): void {
  const { name, region, offsetBytes, sizeBytes } = tensor;
  const regionBytes = regions[region]?.sizeBytes;
  if (regionBytes !== undefined && offsetBytes >= 0 && sizeBytes >= 0 && offsetBytes + sizeBytes <= regionBytes) return;
  throw new CheckpointEngineError(
    'CE_METAS_INVALID',
    regionBytes === undefined
      ? `Tensor "${name}" of rank ${rank} is in region ${region}, but there are ${regions.length} regions`
      : `Tensor "${name}" of rank ${rank} is at ${offsetBytes} with ${sizeBytes} bytes, outside of its region ${region} of ${formatBytesExactly(regionBytes)}`,
    'Gather the metas again: these do not describe the pool',
    { rank, tensor: name },
  );
}
