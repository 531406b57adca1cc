import type { TensorGroup } from './measure-metas.ts';

/** Input of {@link sizeBuckets}. All sizes are in bytes. */
export interface SizeBucketsInput {
  /** Free device memory of the rank that has the least, because all ranks must compute the same sizing. */
  readonly freeBytes: number;
  readonly largestTensorBytes: number;
  /**
   * The largest group of tensors that are loaded in one call and therefore travel in one bucket.
   * @default the largest tensor
   */
  readonly largestGroup?: TensorGroup | undefined;
  /** Bytes of all tensors of all ranks. */
  readonly totalBytes: number;
  readonly worldSize: number;
  /** Upper bound of the bucket size; only a larger tensor or group exceeds it. @default none */
  readonly maxBucketBytes?: number | undefined;
  /** Strict bound of both rings together. @default `softMemoryBytes` */
  readonly deviceMemoryBytes?: number | undefined;
  /** Bound of both rings together; with a larger tensor, the bytes that it needs plus 512 MiB. @default 1 GiB */
  readonly softMemoryBytes?: number | undefined;
  /** Strict bound of the used share of `freeBytes`; above 0 and at most 1. @default 0.9 */
  readonly memFraction?: number | undefined;
  /** Size of a bucket if memory, the model and `maxBucketBytes` allow it. */
  readonly preferredBucketBytes: number;
  readonly ring?: RingPreference | undefined;
  /** Whether owners copy to staging slots first, instead of into the ring. */
  readonly staging: boolean;
}

/** Numbers of slots if memory suffices. */
export interface RingPreference {
  /** Slots that the rank shares with the engine. @default 3 */
  readonly slots?: number | undefined;
  /** Slots that owners copy to before they broadcast. Ignored without staging. @default 2 */
  readonly stagingSlots?: number | undefined;
}

/** The device memory of an update. */
export interface BucketSizing {
  /** Maximum bytes of a bucket, a multiple of 256; the `bucketBytes` of {@link planBuckets}. */
  readonly bucketBytes: number;
  /**
   * Maximum bytes of an ordinary bucket, less than `bucketBytes` if a group is larger; the `fillBytes` of
   * {@link planBuckets}.
   */
  readonly fillBytes: number;
  /** Number of ordinary buckets that the ring can hold. At least 1; 1 means that stages run serially. */
  readonly ringSlots: number;
  /** Number of ordinary buckets that the staging ring can hold. 0 without staging. */
  readonly stagingSlots: number;
  /** Size of the ring: `bucketBytes` once, `fillBytes` for each further slot. */
  readonly ringBytes: number;
  /** Size of the staging ring, likewise. 0 without staging. */
  readonly stagingBytes: number;
  /** Size of both rings together. */
  readonly deviceBytes: number;
  /** Whether the bucket is larger than preferred or allowed because of the largest tensor or group. */
  readonly grown: boolean;
  /** Explains the decision in a log line. */
  readonly reason: string;
}
