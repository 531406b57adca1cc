import { availableParallelism } from 'node:os';

/** Where shared host memory lives unless a device is told otherwise. */
export const defaultSharedDirectory = '/dev/shm';

const mostThreads = 16;

/** Threads for copies and reads: the CPUs that this process may use, at most 16. */
export function defaultThreads(): number {
  return Math.min(availableParallelism(), mostThreads);
}
