const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/**
 * Writes a number of bytes for people, in binary units with at most two decimals: `256 MiB`, `1.16 GiB`.
 *
 * {@link parseSize} reads the text back, to within the rounding.
 */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (rounded(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${rounded(value)} ${UNITS[unit]}`;
}

/** As {@link formatBytes}, with the exact number behind it where the text had to round. */
export function formatBytesExactly(bytes: number): string {
  const text = formatBytes(bytes);
  return text.endsWith(' B') ? text : `${text} (${bytes} bytes)`;
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
