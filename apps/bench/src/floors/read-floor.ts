import { holdFloor, warmMemory } from './floor-program.ts';

/**
 * Milliseconds of one round of the floor of a registration: plain threads read warm files into freshly mapped huge
 * pages. Its memory is warmed before, and again for the following registration, so that both have equal conditions.
 */
export async function readFloorMs(files: readonly string[], sizeBytes: number, threads: number): Promise<number> {
  warmMemory(sizeBytes, threads);
  const { seconds, release } = await holdFloor('read', threads, files);
  await release();
  warmMemory(sizeBytes, threads);
  return seconds[0]! * 1e3;
}
