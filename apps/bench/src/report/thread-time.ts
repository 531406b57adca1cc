import { Buffer } from 'node:buffer';
import { openSync, readSync } from 'node:fs';
import process from 'node:process';

/** The scheduler's counters for the JavaScript thread since its start. */
export interface ThreadTime {
  /** Time on a core. */
  readonly busyMs: number;
  /** Time in which the thread was runnable and waited for a core. */
  readonly waitedMs: number;
}

const text = Buffer.alloc(128);
let file: number | undefined;

/**
 * Returns the scheduler's counters for the main thread of this process, which must be the caller. Takes some
 * microseconds.
 */
export function threadTime(): ThreadTime {
  file ??= openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  const [busyNs, waitedNs] = text.toString('latin1', 0, readSync(file, text, 0, text.length, 0)).split(' ');
  return { busyMs: Number(busyNs) / 1e6, waitedMs: Number(waitedNs) / 1e6 };
}
