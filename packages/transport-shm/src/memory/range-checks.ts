import {
  CheckpointEngineError,
  type Device,
  isSharedMemory,
  type MemoryRange,
  type SharedMemory,
} from '@checkpoint-engine/interface';

/**
 * Checks a range against its memory.
 *
 * @throws {RangeError} It is outside.
 * @throws `CE_NOT_SUPPORTED` It is not host memory.
 */
export function checkRange({ memory, offsetBytes, sizeBytes }: MemoryRange, what: string): void {
  for (const [name, value] of Object.entries({ offsetBytes, sizeBytes })) {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${what}: ${name} must be 0 or more: ${value}`);
  }
  if (offsetBytes + sizeBytes > memory.sizeBytes) {
    throw new RangeError(
      `${what}: bytes ${offsetBytes} to ${offsetBytes + sizeBytes} of a memory of ${memory.sizeBytes}`,
    );
  }
  if (memory.kind === 'host') return;
  throw new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `${what} is ${memory.kind} memory, but transport-shm moves host memory`,
    'Use a transport for device memory, such as @checkpoint-engine/transport-nccl',
  );
}

/** Refuses a device that is not a host device. @throws `CE_NOT_SUPPORTED` */
export function refuseOtherDevices({ kind }: Device): void {
  if (kind === 'host') return;
  throw new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `The device is of kind ${kind}, but transport-shm needs a host device`,
    'Pass createHostDevice(), or use transport-nccl or transport-rdma for GPUs',
  );
}

/** Returns the range's memory as shared memory. @throws `CE_NOT_SUPPORTED` Peers cannot open it. */
export function sharedMemoryOf({ memory }: MemoryRange, what: string): SharedMemory {
  if (isSharedMemory(memory)) return memory;
  throw new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `${what} is in private memory of this process, which peers cannot open`,
    'Allocate it with allocateShared(size), or with allocateHost(size, { shared: true })',
  );
}
