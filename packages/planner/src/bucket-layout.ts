import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { DType, ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import { alignUp } from './align.ts';
import { bucketTensors } from './bucket-tensors.ts';
import { checkPowerOfTwo } from './check-argument.ts';
import { formatBytesExactly } from './format-bytes.ts';
import type { Bucket } from './plan.ts';

/** A tensor and where it lies in its bucket. */
export interface BucketTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  /** From the start of the bucket. */
  readonly offsetBytes: number;
}

/** One range of the owner's pool that is copied into the bucket. */
export interface BucketCopy {
  /** Index of the pool region. */
  readonly region: number;
  /** From the start of the region. */
  readonly offsetBytes: number;
  /** From the start of the bucket. */
  readonly bucketOffsetBytes: number;
  readonly sizeBytes: number;
}

/** What {@link bucketLayout} gives. */
export interface BucketLayout {
  readonly tensors: readonly BucketTensor[];
  /** Ascending in the bucket, without overlap; together they fill every tensor. */
  readonly copies: readonly BucketCopy[];
}

/**
 * Says where each tensor of a bucket lies in it, and which pool ranges fill it.
 *
 * Neighbours that lie as far apart in the pool as in the bucket become one copy, alignment gaps included; where the
 * pool of one region has the bucket's alignment, that is one copy for the whole bucket. No copy reads outside of its
 * region. Bytes of the bucket between tensors stay undefined.
 *
 * @param metas      Of `bucket.ownerRank`, the same that the plan was made from.
 * @param alignBytes The plan's.
 * @throws {CheckpointEngineError} `CE_METAS_INVALID` naming a tensor that reaches out of its region.
 * @throws {RangeError} The bucket is not of these metas.
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

/** Lengthens the last copy up to the end of `tensor` where that fills it rightly, else adds a copy. */
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
      ? `Tensor "${name}" of rank ${rank} lies in region ${region}, of ${regions.length} regions`
      : `Tensor "${name}" of rank ${rank} lies at ${offsetBytes} with ${sizeBytes} bytes, outside of its region ${region} of ${formatBytesExactly(regionBytes)}`,
    'Gather the metas again: these do not describe the pool',
    { rank, tensor: name },
  );
}
