import { availableParallelism } from 'node:os';

/** Default directory of shared host memory. */
export const defaultSharedDirectory = '/dev/shm';

const maxThreads = 16;

/** Default number of threads for copies and reads: the CPUs that this process may use, at most 16. */
export function defaultThreads(): number {
  return Math.min(availableParallelism(), maxThreads);
}
