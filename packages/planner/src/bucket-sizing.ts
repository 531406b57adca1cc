import type { TensorGroup } from './measure-metas.ts';

/** What {@link sizeBuckets} decides from. All sizes in bytes. */
export interface SizeBucketsInput {
  /** Free device memory, of the rank that has the least: all ranks must come to the same sizing. */
  readonly freeBytes: number;
  readonly largestTensorBytes: number;
  /** Tensors that are loaded in one call and therefore travel in one bucket. @default the largest tensor */
  readonly largestGroup?: TensorGroup | undefined;
  /** Of all tensors of all ranks. */
  readonly totalBytes: number;
  readonly worldSize: number;
  /** The bucket grows beyond this only for a tensor or a group that is larger. @default none */
  readonly maxBucketBytes?: number | undefined;
  /** Bounds both rings together, strictly. @default `softMemoryBytes` */
  readonly deviceMemoryBytes?: number | undefined;
  /** Bounds them, but for a larger tensor: then what that needs and 512 MiB beside it. @default 1 GiB */
  readonly softMemoryBytes?: number | undefined;
  /** Share of `freeBytes` that may be used, strictly; above 0 and at most 1. @default 0.9 */
  readonly memFraction?: number | undefined;
  /** Size of a bucket where memory, the model and `maxBucketBytes` allow it. */
  readonly preferredBucketBytes: number;
  readonly ring?: RingPreference | undefined;
  /** Whether owners copy to staging slots first, instead of into the ring. */
  readonly staging: boolean;
}

/** How many slots there are where memory suffices. */
export interface RingPreference {
  /** Slots that are shared with the engine. @default 3 */
  readonly slots?: number | undefined;
  /** Slots that owners copy to before they broadcast. Ignored without staging. @default 2 */
  readonly stagingSlots?: number | undefined;
}

/** The device memory of an update. */
export interface BucketSizing {
  /** Most bytes of a bucket, a multiple of 256; `bucketBytes` of {@link planBuckets}. */
  readonly bucketBytes: number;
  /** Most bytes of an ordinary bucket, less than `bucketBytes` where a group is larger; `fillBytes` of {@link planBuckets}. */
  readonly fillBytes: number;
  /** Ordinary buckets that the ring is made for. At least 1: serial. */
  readonly ringSlots: number;
  /** Ordinary buckets that the staging ring is made for. 0 without staging. */
  readonly stagingSlots: number;
  /** Of the ring: `bucketBytes` once, `fillBytes` for each further slot. */
  readonly ringBytes: number;
  /** Of the staging ring, likewise. 0 without staging. */
  readonly stagingBytes: number;
  /** Both together. */
  readonly deviceBytes: number;
  /** The bucket is larger than preferred or allowed, because of the largest tensor or group. */
  readonly grown: boolean;
  /** How this came about, for a log line. */
  readonly reason: string;
}
