import type { MemoryHolder } from '../report/result.ts';
import type { HostFigures } from './measure-host.ts';

/**
 * The peak memory by named holder: processes at their start, ranks' pools, the ring that the ranks of a host share, and
 * each worker's tensors, which represent an engine's parameters.
 *
 * @param sizeBytes Size of the checkpoint.
 */
export function memoryHolders(figures: HostFigures, sizeBytes: number): MemoryHolder[] {
  const { memory, rankBaseBytes, workerBaseBytes, poolBytes, last } = figures;
  const { ownBytes, sharedBytes } = memory;
  return [
    ...rankBaseBytes.map((before, index) =>
      holder(`rank ${index}`, ownBytes[index]!, { process: before, pool: poolBytes[index]! }),
    ),
    ...workerBaseBytes.map((before, index) =>
      holder(`worker ${index}`, ownBytes[rankBaseBytes.length + index]!, { process: before, tensors: sizeBytes }),
    ),
    holder('shared memory', sharedBytes, { ring: Math.max(...last.map(({ result }) => result.deviceBytes)) }),
  ];
}

/** A part that was not allocated at the peak does not explain other memory. */
function holder(who: string, sizeBytes: number, parts: Readonly<Record<string, number>>): MemoryHolder {
  const known = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
  return { who, sizeBytes, parts, unexplainedBytes: Math.max(0, sizeBytes - known) };
}
