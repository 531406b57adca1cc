import { readFileSync } from 'node:fs';
import process from 'node:process';

/** Where the time of the JavaScript thread went, since it started. */
export interface ThreadTime {
  /** It ran on a core. */
  readonly busyMs: number;
  /** It could have run, and waited for a core. */
  readonly waitedMs: number;
}

const PATH = `/proc/self/task/${process.pid}/schedstat`;

/** What the system's scheduler counts for the thread that calls this: the main one of this process. */
export function threadTime(): ThreadTime {
  const [busyNs, waitedNs] = readFileSync(PATH, 'latin1').split(' ');
  return { busyMs: Number(busyNs) / 1e6, waitedMs: Number(waitedNs) / 1e6 };
}
