import type { Memory } from '@checkpoint-engine/interface';

/** What another process of this host opens memory with; nothing where it cannot. */
export function handleOf(memory: Memory | undefined): Uint8Array | undefined {
  if (memory === undefined || memory.kind !== 'host' || !('handle' in memory)) return undefined;
  return memory.handle instanceof Uint8Array ? memory.handle : undefined;
}
