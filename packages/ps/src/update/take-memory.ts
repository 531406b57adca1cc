import type { Device, SharedMemory } from '@checkpoint-engine/interface';
import type { Bucket, BucketSizing } from '@checkpoint-engine/planner';
import type { Cleanup } from '../util/cleanup.ts';
import { Ring } from './ring.ts';
import type { Transfer } from './transfers.ts';

/** Takes the memory that the worker reads out of; all buckets pass through it. */
export async function takeRing(
  device: Device,
  transfers: readonly Transfer[],
  { ringBytes }: BucketSizing,
  cleanup: Cleanup,
): Promise<Ring<SharedMemory>> {
  const memory = cleanup.use(await device.allocateShared(ringBytes));
  return new Ring(
    memory,
    transfers.map(({ bucket }) => bucket.sizeBytes),
  );
}

/** Takes the memory where own buckets wait for their broadcast; none where they are loaded straight into the ring. */
export async function takeStaging(
  device: Device,
  own: readonly Bucket[],
  { stagingBytes }: BucketSizing,
  cleanup: Cleanup,
): Promise<Ring | undefined> {
  if (stagingBytes === 0) return undefined;
  const memory = cleanup.use(await device.allocate(stagingBytes));
  return new Ring(
    memory,
    own.map(({ sizeBytes }) => sizeBytes),
  );
}
