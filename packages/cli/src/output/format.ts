const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** Formats a rate as `12.3 GiB/s`, in the units of sizes, or as a dash if nothing was moved or the duration is 0. */
export function formatRate(bytes: number, durationMs: number): string {
  if (!(bytes > 0 && durationMs > 0)) return '-';
  const perSecond = (bytes * 1000) / durationMs;
  const unit = unitOf(perSecond);
  return `${figures(perSecond / 1024 ** unit)} ${UNITS[unit]}/s`;
}

/** A part of some bytes, both in the unit of the whole and with as many digits: `1.4 / 16.2 GiB`. */
export function formatPart(doneBytes: number, totalBytes: number): string {
  const unit = unitOf(totalBytes);
  const total = totalBytes / 1024 ** unit;
  const digits = unit === 0 || total >= 99.95 ? 0 : total >= 9.995 ? 1 : 2;
  return `${(doneBytes / 1024 ** unit).toFixed(digits)} / ${total.toFixed(digits)} ${UNITS[unit]}`;
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

/** The largest unit of which there is one or more: three figures of 1023 and more would round up to the next one. */
function unitOf(bytes: number): number {
  const unit = Math.floor(Math.log2(Math.max(bytes, 1) * (1024 / 1023.5)) / 10);
  return Math.min(UNITS.length - 1, unit);
}

/** Rounds to three significant figures, without an exponent and without trailing zeros. */
function figures(value: number): string {
  if (value >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return String(Number(value.toPrecision(3)));
}
