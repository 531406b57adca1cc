import { availableParallelism } from 'node:os';
import { context } from 'zeromq';

let done = false;

/**
 * Lets ZeroMQ use several I/O threads: they move and encrypt the data, and one thread would limit a server that sends
 * large values to many. Call it before the first socket of the process; later calls have no effect.
 */
export function useSeveralIoThreads(): void {
  if (done) return;
  done = true;
  context.ioThreads = Math.min(4, availableParallelism());
}
