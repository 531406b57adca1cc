import type { Device } from '@checkpoint-engine/interface';
import type { Cleanup } from '@checkpoint-engine/interface/shared';
import type { Bucket, BucketSizing } from '@checkpoint-engine/planner';
import { Ring } from '../sources/ring.ts';

/** Allocates memory where own buckets wait for their broadcast; none if they are loaded directly into the ring. */
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
