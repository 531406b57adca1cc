import type { RankMetas } from '@checkpoint-engine/meta';
import { type Bucket, type BucketCopy, bucketTensors } from '@checkpoint-engine/planner';
import type { StreamRegion } from './stream-region.ts';

/** A part of a bucket. Offsets are from the start of the bucket. */
export interface BucketPart {
  readonly bucket: Bucket;
  readonly fromBytes: number;
  readonly toBytes: number;
}

/** A part of a bucket that passes through the host ring in one piece. */
export interface Chunk extends BucketPart {
  /** The space that it uses in the ring: 0 if its bucket is completely mapped. */
  readonly ringBytes: number;
}

/** Divides buckets into chunks, in order. Empty buckets have none. */
export function chunksOf(
  buckets: readonly Bucket[],
  metas: RankMetas,
  regions: readonly StreamRegion[],
  chunkBytes: number,
): Chunk[] {
  return buckets.flatMap((bucket) => {
    const isRead = bucketTensors(metas, bucket).some(
      ({ region, sizeBytes }) => sizeBytes > 0 && regions[region]!.file !== undefined,
    );
    return cut(bucket, chunkBytes).map((part) => ({ ...part, ringBytes: isRead ? part.toBytes - part.fromBytes : 0 }));
  });
}

/** Divides a bucket into parts of at most this size. An empty bucket has none. */
export function cut(bucket: Bucket, partBytes: number): BucketPart[] {
  return Array.from({ length: Math.ceil(bucket.sizeBytes / partBytes) }, (_, index) => {
    const fromBytes = index * partBytes;
    return { bucket, fromBytes, toBytes: Math.min(bucket.sizeBytes, fromBytes + partBytes) };
  });
}

/**
 * The copies of a bucket that fill a part of it, cut to the part, with `bucketOffsetBytes` from the start of the part.
 */
export function copiesWithin(copies: readonly BucketCopy[], { fromBytes, toBytes }: BucketPart): BucketCopy[] {
  return copies.flatMap(({ region, offsetBytes, bucketOffsetBytes, sizeBytes }) => {
    const from = Math.max(bucketOffsetBytes, fromBytes);
    const to = Math.min(bucketOffsetBytes + sizeBytes, toBytes);
    if (from >= to) return [];
    const skippedBytes = from - bucketOffsetBytes;
    return [
      {
        region,
        offsetBytes: offsetBytes + skippedBytes,
        bucketOffsetBytes: from - fromBytes,
        sizeBytes: to - from,
      },
    ];
  });
}
