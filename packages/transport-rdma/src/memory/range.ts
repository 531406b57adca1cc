import { CheckpointEngineError, type MemoryRange } from '@checkpoint-engine/interface';

/**
 * Checks a range of host memory.
 *
 * @throws {RangeError} It is not inside its memory.
 * @throws `CE_NOT_SUPPORTED` It is device memory.
 */
export function checkRange({ memory, offsetBytes, sizeBytes }: MemoryRange, op: string): void {
  const valid = Number.isSafeInteger(offsetBytes) && Number.isSafeInteger(sizeBytes);
  if (!valid || offsetBytes < 0 || sizeBytes < 0 || offsetBytes + sizeBytes > memory.sizeBytes) {
    throw new RangeError(
      `The range must be inside its memory of ${memory.sizeBytes} bytes: ${sizeBytes} bytes at ${offsetBytes}`,
    );
  }
  if (memory.kind === 'host') return;
  throw new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `The rdma transport moves host memory, but this memory is of kind "${memory.kind}"`,
    'Register the pool in host memory, and copy the result of a read to the device',
    { op },
  );
}
