import {
  type BroadcastBuffers,
  CheckpointEngineError,
  type MemoryRange,
  type SharedMemory,
} from '@checkpoint-engine/interface';

/** Checks a range against its memory. @throws {RangeError} It lies outside. @throws `CE_NOT_SUPPORTED` Not host memory. */
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
    `${what} is ${memory.kind} memory, transport-shm moves host memory`,
    'Use a transport for device memory, such as @checkpoint-engine/transport-nccl',
  );
}

/** The range's memory as one that peers can open. @throws `CE_NOT_SUPPORTED` They cannot. */
export function sharedMemoryOf({ memory }: MemoryRange, what: string): SharedMemory {
  const { handle } = memory as Partial<SharedMemory>;
  if (handle instanceof Uint8Array) return memory as SharedMemory;
  throw new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `${what} lies in memory of this process alone, which peers cannot open`,
    'Allocate it with allocateShared(size), or with allocateHost(size, { shared: true })',
  );
}

/** Checks a broadcast's ranges and gives the root's source: `target` itself where it sends in place. */
export function checkBuffers({ target, source = target }: BroadcastBuffers, isRoot: boolean): MemoryRange {
  checkRange(target, 'The target');
  if (!isRoot) return target;
  checkRange(source, 'The source');
  if (source.sizeBytes !== target.sizeBytes) {
    throw new RangeError(
      `The source has ${source.sizeBytes} bytes, the target ${target.sizeBytes}: equal sizes wanted`,
    );
  }
  sharedMemoryOf(source, "The root's source");
  return source.memory === target.memory && source.offsetBytes === target.offsetBytes ? target : source;
}
