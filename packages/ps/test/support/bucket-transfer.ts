import type { Bucket } from '@checkpoint-engine/planner';
import type { BucketTransfer } from '../../src/update/transfers.ts';

/** A bucket of one tensor that its owner sends to all ranks. */
export function bucketTransfer(bucket: Bucket): BucketTransfer {
  const { index, ownerRank, sizeBytes, firstTensor } = bucket;
  return {
    ...{ bucket, index, ownerRank, sizeBytes, readerRank: ownerRank, receivers: [0] },
    tensor: Uint32Array.of(firstTensor),
    tensorOffsetBytes: new Float64Array(1),
    rangeBytes: Float64Array.of(sizeBytes),
    offsetBytes: new Float64Array(1),
  };
}
