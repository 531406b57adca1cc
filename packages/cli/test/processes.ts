import { readdirSync, readFileSync } from 'node:fs';

/** Ranks that a command started, by rank: process ids, read from the kernel. */
export function rankProcesses(parent: number): Map<number, number> {
  const ranks = new Map<number, number>();
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ').filter(Boolean);
  for (const pid of children) {
    const rank = /(?:^|\0)RANK=(\d+)\0/.exec(readFileSync(`/proc/${pid}/environ`, 'utf8'))?.[1];
    if (rank !== undefined) ranks.set(Number(rank), Number(pid));
  }
  return ranks;
}

/** Whether a process runs; one that has ended but is not waited for does not. */
export function runs(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Shared memory that processes of these ids made. */
export function sharedMemoryOf(pids: Iterable<number>): string[] {
  const makers = new Set([...pids].map(String));
  return readdirSync('/dev/shm').filter((name) => {
    const [, , , pid] = name.split('-');
    return name.startsWith('checkpoint-engine-') && makers.has(pid ?? '');
  });
}

/** Resources of processes. */
export interface Held {
  /** Resident memory of all of them; shared pages count for each. */
  readonly residentBytes: number;
  readonly openFiles: number;
}

/** Current resources of these processes. A process that has ended has none. */
export function heldBy(pids: readonly number[]): Held {
  let residentBytes = 0;
  let openFiles = 0;
  for (const pid of pids) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      residentBytes += Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
      openFiles += readdirSync(`/proc/${pid}/fd`).length;
    } catch {
      // It ended in the meantime.
    }
  }
  return { residentBytes, openFiles };
}
