const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/**
 * Formats a number of bytes in binary units with at most two decimals: `256 MiB`, `1.16 GiB`.
 *
 * {@link parseSize} parses the text; the result equals the input except for rounding.
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

/** Formats like {@link formatBytes}, and appends the exact number if the text is rounded. */
export function formatBytesExactly(bytes: number): string {
  const text = formatBytes(bytes);
  return text.endsWith(' B') ? text : `${text} (${bytes} bytes)`;
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
