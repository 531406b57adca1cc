import { readFileSync } from 'node:fs';

/** Counters of the kernel for events that slow first touches and pinning. */
const COUNTS = [
  'pgfault',
  'thp_fault_alloc',
  'thp_fault_fallback',
  'compact_stall',
  'allocstall_normal',
  'allocstall_movable',
  'pgmigrate_success',
  'numa_hint_faults',
] as const;

/** Reads the kernel's counters; the returned function returns the differences that are not 0. */
export function countsFromNow(): () => Record<string, number> {
  const before = read();
  return () => {
    const after = read();
    return Object.fromEntries(
      COUNTS.flatMap((name) => {
        const added = (after.get(name) ?? 0) - (before.get(name) ?? 0);
        return added === 0 ? [] : [[name, added]];
      }),
    );
  };
}

function read(): Map<string, number> {
  const lines = readFileSync('/proc/vmstat', 'utf8').trim().split('\n');
  return new Map(
    lines.map((line) => line.split(' ') as [string, string]).map(([name, count]) => [name, Number(count)]),
  );
}
