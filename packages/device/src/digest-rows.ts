import type { DigestRange } from '@checkpoint-engine/interface';

const COLUMNS = 7;

/** Converts ranges to rows of the addon, without one object per range. */
export function toDigestRows(ranges: readonly DigestRange[]): Float64Array {
  const rows = new Float64Array(ranges.length * COLUMNS);
  let next = 0;
  for (const range of ranges) {
    const { offsetBytes, sizeBytes, rows: count = 1, positionBytes, sum } = range;
    const { pitchBytes = sizeBytes, positionPitchBytes = sizeBytes } = range;
    rows.set([offsetBytes, count, sizeBytes, pitchBytes, positionBytes, positionPitchBytes, sum], next);
    next += COLUMNS;
  }
  return rows;
}
