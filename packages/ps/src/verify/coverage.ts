import type { Needs } from '@checkpoint-engine/interface';

/** Maximum number of rows of boxes that are compared row by row. Tensors with more are not verified. */
const MAX_ROWS = 2 ** 18;

/** Rows of bytes of a tensor. */
export interface CoveredBox {
  readonly offsetBytes: number;
  readonly rows: number;
  readonly rowBytes: number;
  readonly pitchBytes: number;
}

/** Ranks whose workers together hold each byte of a tensor equally often. */
export interface CoverGroup {
  readonly ranks: readonly number[];
  /** The number of times: the sum of their digests is this multiple of the digest of the tensor. */
  readonly times: number;
}

/** The boxes that some ranks have of each tensor, by tensor and by rank. */
export type BoxesByTensor = ReadonlyMap<number, ReadonlyMap<number, readonly CoveredBox[]>>;

/** Sorts needs of ranks by tensor. */
export function boxesByTensor(needs: ReadonlyMap<number, Needs>): BoxesByTensor {
  const byTensor = new Map<number, Map<number, CoveredBox[]>>();
  for (const [rank, { tensor, offsetBytes, rows, rowBytes, pitchBytes }] of needs) {
    for (let at = 0; at < tensor.length; at++) {
      const byRank = byTensor.get(tensor[at]!) ?? new Map<number, CoveredBox[]>();
      byTensor.set(tensor[at]!, byRank);
      const boxes = byRank.get(rank) ?? [];
      byRank.set(rank, boxes);
      const box = {
        offsetBytes: offsetBytes[at]!,
        rows: rows[at]!,
        rowBytes: rowBytes[at]!,
        pitchBytes: pitchBytes[at]!,
      };
      boxes.push(box);
    }
  }
  return byTensor;
}

/**
 * Groups ranks so that each group holds every byte of a tensor equally often: a rank that holds all of it is a group of
 * its own, and the others are one group if their slices make up the tensor.
 *
 * @returns The groups, and the ranks that are in none.
 */
export function coverGroups(
  byRank: ReadonlyMap<number, readonly CoveredBox[]>,
  sizeBytes: number,
): { readonly groups: readonly CoverGroup[]; readonly left: readonly number[] } {
  const groups: CoverGroup[] = [];
  const partial: number[] = [];
  for (const [rank, boxes] of byRank) {
    const times = timesCovered(boxes, sizeBytes);
    if (times > 0) groups.push({ ranks: [rank], times });
    else partial.push(rank);
  }
  if (partial.length < 2) return { groups, left: partial };
  const times = timesCovered(
    partial.flatMap((rank) => byRank.get(rank)!),
    sizeBytes,
  );
  return times > 0 ? { groups: [...groups, { ranks: partial, times }], left: [] } : { groups, left: partial };
}

/**
 * Returns how often boxes cover each byte of a tensor; 0 if the bytes differ in this, or if the check would take long.
 */
export function timesCovered(boxes: readonly CoveredBox[], sizeBytes: number): number {
  const bytes = boxes.reduce((sum, { rows, rowBytes }) => sum + rows * rowBytes, 0);
  const times = bytes / sizeBytes;
  if (!Number.isSafeInteger(times) || times === 0) return 0;
  const intervals = intervalsOf(boxes, sizeBytes);
  if (intervals === undefined) return 0;
  const { length } = intervals.starts;
  intervals.starts.sort();
  intervals.ends.sort();
  // The count at a byte is the number of starts up to it less the number of ends: equal everywhere if each end is the
  // start of the interval that comes `times` later.
  for (let at = 0; at < length; at++) {
    const wanted = at < times ? 0 : intervals.ends[at - times]!;
    if (intervals.starts[at] !== wanted) return 0;
  }
  return intervals.ends.subarray(length - times).every((end) => end === intervals.spanBytes) ? times : 0;
}

interface Intervals {
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  readonly spanBytes: number;
}

/** Boxes as intervals: of one row of the tensor if all boxes have all of its rows, otherwise of the tensor. */
function intervalsOf(boxes: readonly CoveredBox[], sizeBytes: number): Intervals | undefined {
  const [first] = boxes;
  const { rows, pitchBytes } = first!;
  const isRegular = boxes.every(
    (box) => box.rows === rows && box.pitchBytes === pitchBytes && box.offsetBytes + box.rowBytes <= pitchBytes,
  );
  if (isRegular && rows * pitchBytes === sizeBytes) {
    return {
      starts: Float64Array.from(boxes, ({ offsetBytes }) => offsetBytes),
      ends: Float64Array.from(boxes, ({ offsetBytes, rowBytes }) => offsetBytes + rowBytes),
      spanBytes: pitchBytes,
    };
  }
  const count = boxes.reduce((sum, box) => sum + box.rows, 0);
  if (count > MAX_ROWS) return undefined;
  const starts = new Float64Array(count);
  const ends = new Float64Array(count);
  let next = 0;
  for (const box of boxes) {
    for (let row = 0; row < box.rows; row++) {
      starts[next] = box.offsetBytes + row * box.pitchBytes;
      ends[next] = starts[next++]! + box.rowBytes;
    }
  }
  return { starts, ends, spanBytes: sizeBytes };
}

/** Bytes that boxes have of a range of their tensor. */
export function bytesWithin(boxes: readonly CoveredBox[], fromBytes: number, toBytes: number): number {
  let bytes = 0;
  for (const box of boxes) bytes += bytesUpTo(box, toBytes) - bytesUpTo(box, fromBytes);
  return bytes;
}

function bytesUpTo({ offsetBytes, rows, rowBytes, pitchBytes }: CoveredBox, endBytes: number): number {
  const length = Math.max(0, endBytes - offsetBytes);
  const whole = Math.min(rows, Math.floor(length / pitchBytes));
  const rest = whole === rows ? 0 : Math.min(rowBytes, length - whole * pitchBytes);
  return whole * rowBytes + rest;
}
