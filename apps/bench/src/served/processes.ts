import { readdirSync, readFileSync } from 'node:fs';

/** What processes hold of the system. */
export interface Held {
  /** Resident memory of all of them, pages that they share counted for each. */
  readonly residentBytes: number;
  readonly openFiles: number;
}

/** A process and all that descend from it, as far as they live. */
export function withDescendants(root: number): number[] {
  const parents = new Map<number, number>();
  for (const pid of livePids()) {
    const parent = parentOf(pid);
    if (parent !== undefined) parents.set(pid, parent);
  }
  const found = isAlive(root) ? [root] : [];
  for (const pid of found) for (const [child, parent] of parents) if (parent === pid) found.push(child);
  return found;
}

/** What these processes hold now. One that has ended holds nothing. */
export function heldBy(pids: readonly number[]): Held {
  let residentBytes = 0;
  let openFiles = 0;
  for (const pid of pids) {
    residentBytes += Number(/VmRSS:\s+(\d+) kB/.exec(quiet(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
    openFiles += countFiles(pid);
  }
  return { residentBytes, openFiles };
}

/** Whether a process runs; one that waits to be buried does not. */
export function isAlive(pid: number): boolean {
  const state = fieldsOf(pid)?.[0];
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** Names of the segments in `/dev/shm` that these processes created. Other worlds on the machine have segments too. */
export function segmentsOf(pids: Iterable<number>): string[] {
  const makers = new Set(pids);
  return readdirSync('/dev/shm').filter((name) => makers.has(Number(/^checkpoint-engine-\d+-(\d+)-/.exec(name)?.[1])));
}

function livePids(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

function parentOf(pid: number): number | undefined {
  const parent = fieldsOf(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** The fields of `stat` after the program's name: state, parent, ... */
function fieldsOf(pid: number): string[] | undefined {
  const stat = quiet(`/proc/${pid}/stat`);
  return stat === '' ? undefined : stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function countFiles(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

function quiet(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
