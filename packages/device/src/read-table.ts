import type { FileRead } from '@checkpoint-engine/interface';

/** File ranges in the format of the addon, without one object per range. */
export interface ReadTable {
  readonly paths: readonly string[];
  /** Rows of `file, fileOffset, offset, size`; `file` is an index into `paths`. */
  readonly rows: Float64Array;
}

/** Lists each path once and converts the ranges to rows. */
export function toReadTable(reads: readonly FileRead[]): ReadTable {
  const places = new Map<string, number>();
  const rows = new Float64Array(reads.length * 4);
  let next = 0;
  for (const read of reads) {
    let place = places.get(read.path);
    if (place === undefined) {
      place = places.size;
      places.set(read.path, place);
    }
    rows[next++] = place;
    rows[next++] = read.fileOffsetBytes;
    rows[next++] = read.offsetBytes;
    rows[next++] = read.sizeBytes;
  }
  return { paths: [...places.keys()], rows };
}
