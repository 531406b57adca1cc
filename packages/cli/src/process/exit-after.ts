import { exit } from 'node:process';

/** Ends this process with status 1 if it has not ended by itself in this time. Does not keep it alive. */
export function exitAfter(milliseconds: number): void {
  if (milliseconds === 0) exit(1);
  setTimeout(() => exit(1), milliseconds).unref();
}
