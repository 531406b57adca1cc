import type { BroadcastBuffers, MemoryRange } from '@checkpoint-engine/interface';
import { checkRange, sharedMemoryOf } from '../memory/range-checks.ts';

/** Checks a broadcast's ranges and returns the root's source: `target` itself if it sends in place. */
export function checkBuffers({ target, source = target }: BroadcastBuffers, isRoot: boolean): MemoryRange {
  checkRange(target, 'The target');
  if (!isRoot) return target;
  checkRange(source, 'The source');
  if (source.sizeBytes !== target.sizeBytes) {
    throw new RangeError(
      `The source has ${source.sizeBytes} bytes, the target ${target.sizeBytes}: expected equal sizes`,
    );
  }
  sharedMemoryOf(source, "The root's source");
  return source.memory === target.memory && source.offsetBytes === target.offsetBytes ? target : source;
}
