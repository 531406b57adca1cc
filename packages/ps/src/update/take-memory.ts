import { CheckpointEngineError, type Device, type Memory, type SharedMemory } from '@checkpoint-engine/interface';
import type { Bucket, BucketSizing } from '@checkpoint-engine/planner';
import type { Cleanup } from '../util/cleanup.ts';
import { Ring } from './ring.ts';

/** Takes the memory that the worker reads out of; all buckets pass through it. */
export async function takeRing(device: Device, { ringBytes }: BucketSizing, cleanup: Cleanup): Promise<SharedMemory> {
  return cleanup.use(await device.allocateShared(ringBytes));
}

/** Opens the ring that another rank of this host took for all. */
export async function openRing(
  device: Device,
  handle: Uint8Array | undefined,
  { ringBytes }: BucketSizing,
  cleanup: Cleanup,
): Promise<SharedMemory> {
  const memory = handle === undefined ? undefined : cleanup.use(await device.openShared(handle, ringBytes));
  if (memory !== undefined && isShared(memory)) return memory;
  throw new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    handle === undefined ? 'The first rank shares no ring' : `A ${device.kind} device does not pass shared memory on`,
    'Use the same release on all ranks, and a transport whose supports.sharedTarget fits the device',
  );
}

const isShared = (memory: Memory): memory is SharedMemory => 'handle' in memory && memory.handle instanceof Uint8Array;

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
