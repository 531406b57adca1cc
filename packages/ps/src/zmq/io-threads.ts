import { availableParallelism } from 'node:os';
import { context } from 'zeromq';

let done = false;

/**
 * Lets ZeroMQ use several I/O threads: they move and encrypt the bytes, and one would bound a server that sends large
 * values to many. Takes effect when it comes before the first socket of the process; later ones keep what is.
 */
export function useSeveralIoThreads(): void {
  if (done) return;
  done = true;
  context.ioThreads = Math.min(4, availableParallelism());
}
