/** Formats a rate as `12.3 GB/s` (1e9 bytes per second), or as a dash if the duration is 0. */
export function formatRate(bytes: number, durationMs: number): string {
  const rateGBps = gigabytesPerSecond(bytes, durationMs);
  if (rateGBps === undefined) return '-';
  return rateGBps >= 0.1 ? `${figures(rateGBps)} GB/s` : `${figures(rateGBps * 1000)} MB/s`;
}

/** The rate in units of 1e9 bytes per second, or `undefined` if the duration is 0. */
export function gigabytesPerSecond(bytes: number, durationMs: number): number | undefined {
  return bytes > 0 && durationMs > 0 ? bytes / durationMs / 1e6 : undefined;
}

/** Formats a duration for users: `8.3 ms`, `412 ms`, `1.24 s`, `2 min 05 s`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 999.5) return `${figures(durationMs)} ms`;
  if (durationMs < 60_000) return `${figures(durationMs / 1000)} s`;
  const seconds = Math.round(durationMs / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}

/** Formats a count with separators: `139,583`. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

/** Formats a count and its noun: `1 rank`, `4 ranks`, `2 buckets`. */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** Rounds to three significant figures, without an exponent and without trailing zeros. */
function figures(value: number): string {
  if (value >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return String(Number(value.toPrecision(3)));
}
