import type { MemoryHolder } from '../report/result.ts';
import type { RankFigures } from '../world/rank-main.ts';
import type { HostWorldFigures } from './run-host-world.ts';

/**
 * Who held how much at its peak, as far as it is known by name: processes before they did anything, ranks' pools, the ring
 * that the ranks of a host share, and each worker's tensors, which stand for an engine's parameters.
 *
 * @param sizeBytes Of the checkpoint.
 */
export function memoryHolders({ ranks, memory, workerBaseBytes }: HostWorldFigures, sizeBytes: number): MemoryHolder[] {
  const { ownBytes, sharedBytes } = memory;
  return [
    ...ranks.map((rank, index) => holder(`rank ${index}`, ownBytes[index]!, partsOf(rank))),
    ...workerBaseBytes.map((before, index) =>
      holder(`worker ${index}`, ownBytes[ranks.length + index]!, { process: before, tensors: sizeBytes }),
    ),
    holder('shared memory', sharedBytes, {
      ring: Math.max(...ranks.map(({ results }) => results.at(-1)!.deviceBytes)),
    }),
  ];
}

function partsOf({ baseBytes, poolBytes }: RankFigures): Record<string, number> {
  return { process: baseBytes, pool: poolBytes };
}

/** A part that was not there yet, or no longer, explains nothing of what else is. */
function holder(who: string, sizeBytes: number, parts: Readonly<Record<string, number>>): MemoryHolder {
  const known = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
  return { who, sizeBytes, parts, unexplainedBytes: Math.max(0, sizeBytes - known) };
}
