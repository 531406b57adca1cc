import { isHostMemory, isSharedMemory, type Memory } from '@checkpoint-engine/interface';

/** What another process of this host opens memory with; nothing where it cannot. */
export function handleOf(memory: Memory | undefined): Uint8Array | undefined {
  if (memory === undefined || !isHostMemory(memory)) return undefined;
  return isSharedMemory(memory) ? memory.handle : undefined;
}
