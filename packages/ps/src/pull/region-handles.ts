import { isHostMemory, isSharedMemory, type Memory } from '@checkpoint-engine/interface';

/** The handles with which other processes of this host open memory; `undefined` for memory that they cannot open. */
export function handleOf(memory: Memory | undefined): Uint8Array | undefined {
  if (memory === undefined || !isHostMemory(memory)) return undefined;
  return isSharedMemory(memory) ? memory.handle : undefined;
}
