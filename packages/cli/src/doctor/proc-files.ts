/** Free and total memory of `/proc/meminfo`, in bytes. */
export interface HostMemoryInfo {
  readonly totalBytes: number;
  readonly availableBytes: number;
}

/** Reads the text of `/proc/meminfo`. */
export function parseMeminfo(text: string): HostMemoryInfo | undefined {
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]) * 1024;
  const info = { totalBytes: field('MemTotal'), availableBytes: field('MemAvailable') };
  return Number.isNaN(info.totalBytes + info.availableBytes) ? undefined : info;
}

/** Returns the soft limit from one line of `/proc/self/limits`; `Infinity` if it is unlimited. */
export function parseLimit(text: string, name: string): number | undefined {
  const soft = new RegExp(`^${name}\\s+(\\S+)`, 'm').exec(text)?.[1];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

/**
 * Returns the choice in brackets in a file such as `/sys/kernel/mm/transparent_hugepage/enabled`: `always [madvise]
 * never`.
 */
export function parseChoice(text: string): string | undefined {
  return /\[([^\]]+)\]/.exec(text)?.[1];
}

/** Returns the version in `/proc/driver/nvidia/version`. */
export function parseDriverVersion(text: string): string | undefined {
  return /NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s/.exec(text)?.[1];
}
