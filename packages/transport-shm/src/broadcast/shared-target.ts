import { Buffer } from 'node:buffer';
import type { MemoryRange } from '@checkpoint-engine/interface';
import { checkRange, sharedMemoryOf } from '../memory/range-checks.ts';
import type { ReadyFrame } from './frames.ts';

/** A range of shared memory in the form that members compare. */
export type SharedTarget = Pick<ReadyFrame, 'handle' | 'offsetBytes' | 'sizeBytes'>;

/** Checks the range of a broadcast into shared memory. */
export function sharedTarget(target: MemoryRange): SharedTarget {
  checkRange(target, 'The target');
  const { handle } = sharedMemoryOf(target, 'The target of a shared broadcast');
  return { handle, offsetBytes: target.offsetBytes, sizeBytes: target.sizeBytes };
}

/** Describes how another member's range differs from this one; `undefined` if they are equal. */
export function sameTarget(own: SharedTarget, other: SharedTarget): string | undefined {
  if (other.sizeBytes !== own.sizeBytes) return `expects ${other.sizeBytes} bytes, not ${own.sizeBytes}`;
  if (other.offsetBytes !== own.offsetBytes)
    return `expects the bytes at ${other.offsetBytes}, not at ${own.offsetBytes}`;
  return Buffer.compare(other.handle, own.handle) === 0 ? undefined : 'expects the bytes in other memory';
}

/** Whether two ranges overlap, as far as this process knows: one mapping of a memory is one object. */
export function overlap(a: MemoryRange, b: MemoryRange): boolean {
  return (
    a.memory === b.memory && a.offsetBytes < b.offsetBytes + b.sizeBytes && b.offsetBytes < a.offsetBytes + a.sizeBytes
  );
}
