import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import type { BucketSizing } from './bucket-sizing.ts';
import { type MetasMeasure, measureMetas } from './measure-metas.ts';
import { preferBucketSize, type ReloadCost } from './prefer-bucket-size.ts';
import { sizeBuckets } from './size-buckets.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/**
 * On the host, the cost of a bucket is mainly that of its messages, on the cores that also copy: larger buckets gain
 * almost nothing and use memory.
 */
const HOST_BUCKET_BYTES = 128 * MIB;

/** Slots of the ring on the host: no data is copied to a device, so one bucket is filled while another reloads. */
const HOST_RING_SLOTS = 2;

/** Reads take time to begin and to end, so each reading rank needs several small ones in progress. */
const READING_RING = { slots: 8, bucketBytes: 16 * MIB };

/** Slots of the ring and for staging on a GPU, if there is enough memory. */
const GPU_SLOTS = { ring: 3, staging: 2 };

/** The pace of a vLLM worker, used until a worker of this server has been measured. */
const USUAL_RELOAD: ReloadCost = { bucketMs: 3.5, tensorMs: 0.12 };

/** Rates of page-locked memory to a GPU over PCIe 5, and of a broadcast between the GPUs of a host. */
const USUAL_LINKS = { h2dGBps: 50, broadcastGBps: 150 };

/** Default device memory for an update: most memory belongs to the engine. */
const SOFT_MEMORY_BYTES = GIB;
/**
 ** The default with several ranks, which move data faster than workers load small buckets: at most half of the free memory.
 */
const MAX_SOFT_MEMORY_BYTES = 4 * GIB;

/** On the host, device memory is shared memory. */
const HOST_HINT =
  'Enlarge /dev/shm, whose free space is the memory of the host device: docker run --shm-size, an emptyDir of medium Memory on Kubernetes, or mount -o remount,size=';

/** Bounds for the buckets of an update. */
export interface UpdateBounds {
  /** `supports.hostAddressable` of the device. */
  readonly hostAddressable: boolean;
  /** `supports.outOfPlace` of the broadcast transport: without it there is no staging. @default true */
  readonly outOfPlace?: boolean | undefined;
  readonly freeBytes: number;
  readonly memberCount: number;
  /** Whether buckets are read from peers' memory directly into the ring. @default false */
  readonly readsIntoRing?: boolean | undefined;
  /** The pace of the slowest worker in earlier updates. @default that of vLLM's workers */
  readonly reload?: ReloadCost | undefined;
  readonly bucketBytes: number | undefined;
  readonly maxBucketBytes: number | undefined;
  readonly deviceMemoryBytes: number | undefined;
  readonly memFraction: number | undefined;
}

/** Computes the sizes of buckets, ring and staging for one update. Equal on all ranks for equal metas and bounds. */
export function sizeUpdate(metas: readonly RankMetas[], bounds: UpdateBounds): BucketSizing {
  try {
    return sizeOf(metas, bounds);
  } catch (error) {
    const isShort = CheckpointEngineError.isInstance(error) && error.code === 'CE_PLAN_MEMORY_TOO_SMALL';
    const { deviceMemoryBytes = Number.POSITIVE_INFINITY, hostAddressable, freeBytes } = bounds;
    if (!isShort || !hostAddressable || deviceMemoryBytes < freeBytes) throw error;
    throw new CheckpointEngineError(error.code, error.message, HOST_HINT, { cause: error });
  }
}

function sizeOf(metas: readonly RankMetas[], bounds: UpdateBounds): BucketSizing {
  const measure = measureMetas(metas);
  const { memberCount, freeBytes, deviceMemoryBytes, memFraction, hostAddressable, outOfPlace = true } = bounds;
  const softMemoryBytes = softMemory(bounds);
  // With one rank, buckets go directly into the ring. The same is true if the transport only sends in place. On the
  // host a second copy would only cost time: the root loads into the ring that its host shares, or into its own ring.
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
  return Math.max(SOFT_MEMORY_BYTES, Math.min(MAX_SOFT_MEMORY_BYTES, freeBytes / 2));
}

/** @param maxBytes Maximum device memory for a slot. */
function preferredBytes(
  { totalBytes, tensorCount }: MetasMeasure,
  { memberCount, readsIntoRing, hostAddressable, reload = USUAL_RELOAD }: UpdateBounds,
  maxBytes: number,
): number {
  if (readsIntoRing) return READING_RING.bucketBytes;
  if (hostAddressable) return HOST_BUCKET_BYTES;
  return preferBucketSize({ totalBytes, tensorCount, worldSize: memberCount, reload, links: USUAL_LINKS, maxBytes });
}

function slotsOf({ hostAddressable, readsIntoRing = false }: UpdateBounds): { slots: number; stagingSlots: number } {
  const stagingSlots = GPU_SLOTS.staging;
  if (readsIntoRing) return { slots: READING_RING.slots, stagingSlots };
  return { slots: hostAddressable ? HOST_RING_SLOTS : GPU_SLOTS.ring, stagingSlots };
}
