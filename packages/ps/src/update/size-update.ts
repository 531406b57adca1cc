import { type BucketSizing, measureMetas, sizeBuckets } from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';

const MIB = 2 ** 20;

/**
 * Where a bucket costs little beside its bytes: larger ones gain next to nothing and hold memory. On the host that cost
 * is the messages about it, on the same cores that copy.
 */
const PREFERRED_BUCKET_BYTES = 128 * MIB;

/** Slots of the ring on the host: nothing is copied to a device there, so that one bucket is filled while one reloads. */
const HOST_RING_SLOTS = 2;

/** Reads take their time to begin and to end: several have to be under way at each rank that reads, small ones do. */
const READING_RING = { slots: 8, bucketBytes: 16 * MIB };

/** What bounds the buckets of an update. */
export interface UpdateBounds {
  /** `supports.hostAddressable` of the device. */
  readonly hostAddressable: boolean;
  /** `supports.outOfPlace` of the broadcast transport: without it there is no staging. @default true */
  readonly outOfPlace?: boolean | undefined;
  readonly freeBytes: number;
  readonly memberCount: number;
  /** Buckets are read out of peers' memory straight into the ring. @default false */
  readonly readsIntoRing?: boolean | undefined;
  readonly bucketBytes: number | undefined;
  readonly maxBucketBytes: number | undefined;
  readonly deviceMemoryBytes: number | undefined;
  readonly memFraction: number | undefined;
}

/** Sizes buckets, ring and staging for one update. Equal on all ranks for equal metas and bounds. */
export function sizeUpdate(metas: WorldMetas, bounds: UpdateBounds): BucketSizing {
  return sizeBuckets({
    ...measureMetas(metas),
    freeBytes: bounds.freeBytes,
    worldSize: bounds.memberCount,
    ring: ringOf(bounds),
    maxBucketBytes: bounds.bucketBytes ?? bounds.maxBucketBytes,
    preferredBucketBytes:
      bounds.bucketBytes ?? (bounds.readsIntoRing ? READING_RING.bucketBytes : PREFERRED_BUCKET_BYTES),
    deviceMemoryBytes: bounds.deviceMemoryBytes,
    memFraction: bounds.memFraction,
    // With one rank buckets go straight into the ring, and so they do where the transport sends in place only. On the
    // host a second copy would only cost: the root loads into the ring that its host shares, or into its own one.
    staging: bounds.memberCount > 1 && !bounds.hostAddressable && (bounds.outOfPlace ?? true),
  });
}

function ringOf({ hostAddressable, readsIntoRing = false }: UpdateBounds): { slots: number } | undefined {
  if (readsIntoRing) return { slots: READING_RING.slots };
  return hostAddressable ? { slots: HOST_RING_SLOTS } : undefined;
}
