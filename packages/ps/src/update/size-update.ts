import { CheckpointEngineError } from '@checkpoint-engine/interface';
import {
  type BucketSizing,
  type MetasMeasure,
  measureMetas,
  preferBucketSize,
  type ReloadCost,
  sizeBuckets,
} from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/**
 * On the host a bucket costs little beside its bytes, the messages about it on the same cores that copy: larger ones gain
 * next to nothing and hold memory.
 */
const HOST_BUCKET_BYTES = 128 * MIB;

/** Slots of the ring on the host: nothing is copied to a device there, so that one bucket is filled while one reloads. */
const HOST_RING_SLOTS = 2;

/** Reads take their time to begin and to end: several have to be under way at each rank that reads, small ones do. */
const READING_RING = { slots: 8, bucketBytes: 16 * MIB };

/** Slots of the ring and for staging on a GPU, where memory suffices. */
const GPU_SLOTS = { ring: 3, staging: 2 };

/** What a vLLM worker takes, until a worker of this server has been measured. */
const USUAL_RELOAD: ReloadCost = { bucketMs: 3.5, tensorMs: 0.12 };

/** Page-locked memory to a GPU over PCIe 5, and a broadcast between the GPUs of a host. */
const USUAL_LINKS = { h2dGBps: 50, broadcastGBps: 150 };

/** Device memory of an update where nobody says how much: the engine's memory is the engine's. */
const SOFT_MEMORY_BYTES = GIB;
/** The same with several ranks, which bring bytes faster than workers take small buckets; at most half of what is free. */
const MOST_SOFT_MEMORY_BYTES = 4 * GIB;

/** On the host, device memory is shared memory. */
const HOST_HINT =
  'Enlarge /dev/shm, whose free space is the memory of the host device: docker run --shm-size, an emptyDir of medium Memory on Kubernetes, or mount -o remount,size=';

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
  /** What the slowest worker took in earlier updates. @default what vLLM's take */
  readonly reload?: ReloadCost | undefined;
  readonly bucketBytes: number | undefined;
  readonly maxBucketBytes: number | undefined;
  readonly deviceMemoryBytes: number | undefined;
  readonly memFraction: number | undefined;
}

/** Sizes buckets, ring and staging for one update. Equal on all ranks for equal metas and bounds. */
export function sizeUpdate(metas: WorldMetas, bounds: UpdateBounds): BucketSizing {
  try {
    return sizeOf(metas, bounds);
  } catch (error) {
    const isShort = CheckpointEngineError.isInstance(error) && error.code === 'CE_PLAN_MEMORY_TOO_SMALL';
    const { deviceMemoryBytes = Number.POSITIVE_INFINITY, hostAddressable, freeBytes } = bounds;
    if (!isShort || !hostAddressable || deviceMemoryBytes < freeBytes) throw error;
    throw new CheckpointEngineError(error.code, error.message, HOST_HINT, { cause: error });
  }
}

function sizeOf(metas: WorldMetas, bounds: UpdateBounds): BucketSizing {
  const measure = measureMetas(metas);
  const { memberCount, freeBytes, deviceMemoryBytes, memFraction, hostAddressable, outOfPlace = true } = bounds;
  const softMemoryBytes = softMemory(bounds);
  // With one rank buckets go straight into the ring, and so they do where the transport sends in place only. On the
  // host a second copy would only cost: the root loads into the ring that its host shares, or into its own one.
  const staging = memberCount > 1 && !hostAddressable && outOfPlace;
  const slots = slotsOf(bounds);
  const slotCount = slots.slots + (staging ? GPU_SLOTS.staging : 0);
  return sizeBuckets({
    ...measure,
    freeBytes,
    worldSize: memberCount,
    ring: slots,
    maxBucketBytes: bounds.bucketBytes ?? bounds.maxBucketBytes,
    preferredBucketBytes:
      bounds.bucketBytes ?? preferredBytes(measure, bounds, (deviceMemoryBytes ?? softMemoryBytes) / slotCount),
    deviceMemoryBytes,
    softMemoryBytes,
    memFraction,
    staging,
  });
}

function softMemory({ memberCount, freeBytes, hostAddressable }: UpdateBounds): number {
  if (memberCount === 1 || hostAddressable) return SOFT_MEMORY_BYTES;
  return Math.max(SOFT_MEMORY_BYTES, Math.min(MOST_SOFT_MEMORY_BYTES, freeBytes / 2));
}

/** @param mostBytes What a slot can have of the device memory. */
function preferredBytes(
  { totalBytes, tensorCount }: MetasMeasure,
  { memberCount, readsIntoRing, hostAddressable, reload = USUAL_RELOAD }: UpdateBounds,
  mostBytes: number,
): number {
  if (readsIntoRing) return READING_RING.bucketBytes;
  if (hostAddressable) return HOST_BUCKET_BYTES;
  return preferBucketSize({ totalBytes, tensorCount, worldSize: memberCount, reload, links: USUAL_LINKS, mostBytes });
}

function slotsOf({ hostAddressable, readsIntoRing = false }: UpdateBounds): { slots: number; stagingSlots: number } {
  const stagingSlots = GPU_SLOTS.staging;
  if (readsIntoRing) return { slots: READING_RING.slots, stagingSlots };
  return { slots: hostAddressable ? HOST_RING_SLOTS : GPU_SLOTS.ring, stagingSlots };
}
