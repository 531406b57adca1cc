import type { Copy, Memory, Places } from '@checkpoint-engine/interface';
import type { PulledSlice } from './declaration.ts';

/** Number of copies in a batch. It limits the use of JavaScript's memory. */
const BATCH = 16_384;

/**
 * The copies that move the bytes of slices that `places` contain to their destinations in the engine.
 *
 * @param regions By id.
 */
export function* copiesOf(
  slices: readonly PulledSlice[],
  places: Places,
  regions: ReadonlyMap<number, Memory>,
): Generator<Copy[]> {
  const starts = startsOf(places);
  let batch: Copy[] = [];
  for (const slice of slices) {
    for (let at = starts.get(slice.tensor) ?? places.tensor.length; places.tensor[at] === slice.tensor; at++) {
      const memory = regions.get(places.region[at]!)!;
      const fromBytes = places.tensorOffsetBytes[at]!;
      const toBytes = fromBytes + places.sizeBytes[at]!;
      for (const { sliceBytes, targetBytes, sizeBytes } of rowsWithin(slice, fromBytes, toBytes)) {
        batch.push({
          from: { memory, offsetBytes: places.offsetBytes[at]! + sliceBytes - fromBytes, sizeBytes },
          to: { memory: slice.to.memory, offsetBytes: slice.to.offsetBytes + targetBytes, sizeBytes },
        });
        if (batch.length < BATCH) continue;
        yield batch;
        batch = [];
      }
    }
  }
  if (batch.length > 0) yield batch;
}

const known = new WeakMap<Places, ReadonlyMap<number, number>>();

/** The index of each tensor's first place. */
function startsOf(places: Places): ReadonlyMap<number, number> {
  const before = known.get(places);
  if (before !== undefined) return before;
  const starts = new Map<number, number>();
  for (let at = places.tensor.length - 1; at >= 0; at--) starts.set(places.tensor[at]!, at);
  known.set(places, starts);
  return starts;
}

/** The parts of rows inside a range of the tensor. Rows that are contiguous on both sides are joined. */
function* rowsWithin(
  { offsetBytes, rows, rowBytes, pitchBytes, toPitchBytes = rowBytes }: PulledSlice,
  fromBytes: number,
  toBytes: number,
): Generator<{ sliceBytes: number; targetBytes: number; sizeBytes: number }> {
  const isOneRun = pitchBytes === rowBytes && toPitchBytes === rowBytes;
  const count = isOneRun ? 1 : rows;
  const lengthBytes = isOneRun ? rows * rowBytes : rowBytes;
  const first = Math.max(0, Math.floor((fromBytes - offsetBytes - lengthBytes) / pitchBytes) + 1);
  for (let row = isOneRun ? 0 : first; row < count; row++) {
    const rowAt = offsetBytes + row * pitchBytes;
    if (rowAt >= toBytes) return;
    const start = Math.max(rowAt, fromBytes);
    const end = Math.min(rowAt + lengthBytes, toBytes);
    if (start >= end) continue;
    yield { sliceBytes: start, targetBytes: row * toPitchBytes + start - rowAt, sizeBytes: end - start };
  }
}
