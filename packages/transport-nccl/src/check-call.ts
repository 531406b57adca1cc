import { type BroadcastBuffers, CheckpointEngineError, type MemoryRange } from '@checkpoint-engine/interface';

/** A broadcast in the form that NCCL needs. */
export interface CheckedCall {
  /** Index of the root among the members. */
  readonly rootIndex: number;
  readonly send: bigint;
  readonly receive: bigint;
}

/**
 * Checks one member's call before it reaches NCCL, in which an invalid call would make the whole group fail.
 *
 * @throws {RangeError} The root is not a member, sizes differ, or a range ends outside its memory.
 */
export function checkCall(
  root: number,
  { target, source }: BroadcastBuffers,
  members: readonly number[],
  rank: number,
): CheckedCall {
  const rootIndex = members.indexOf(root);
  if (rootIndex < 0) throw new RangeError(`root must be one of [${members.join(', ')}]: ${root}`);
  if (source !== undefined && source.sizeBytes !== target.sizeBytes) {
    throw new RangeError(
      `source and target must have the same size: ${source.sizeBytes} and ${target.sizeBytes} bytes`,
    );
  }
  const receive = addressOf(target, 'target', rank);
  const isSender = root === rank && source !== undefined;
  return { rootIndex, receive, send: isSender ? addressOf(source, 'source', rank) : receive };
}

function addressOf({ memory, offsetBytes, sizeBytes }: MemoryRange, name: string, rank: number): bigint {
  if (memory.kind !== 'device') {
    throw new CheckpointEngineError(
      'CE_NOT_SUPPORTED',
      `NCCL moves device memory, but the ${name} is ${memory.kind} memory`,
      'Pass memory that the device allocated',
      { rank, op: 'broadcast' },
    );
  }
  if (memory.address === 0n) {
    throw new CheckpointEngineError(
      'CE_CLOSED',
      `The memory of the ${name} is closed`,
      'Close it after the broadcast',
      {
        rank,
        op: 'broadcast',
      },
    );
  }
  if (!(offsetBytes >= 0 && sizeBytes >= 0 && offsetBytes + sizeBytes <= memory.sizeBytes)) {
    throw new RangeError(
      `${name} must be inside its memory of ${memory.sizeBytes} bytes: ${sizeBytes} bytes at ${offsetBytes}`,
    );
  }
  return memory.address + BigInt(offsetBytes);
}
