import type { Needs } from '@checkpoint-engine/interface';
import type { DividedModel, PlacedTensor } from './divide-model.ts';
import type { LayoutPosition, ParallelLayout } from './parallel-layout.ts';

interface Box {
  readonly offset: number;
  readonly rows: number;
  readonly rowBytes: number;
  readonly pitch: number;
}

/** The bytes that a rank keeps, as boxes: what a worker of such an engine would report. */
export function needsOf(model: DividedModel, layout: ParallelLayout, position: LayoutPosition): Needs {
  const kept: { readonly tensor: number; readonly box: Box }[] = [];
  for (const [index, tensor] of model.tensors.entries()) {
    const box = tensor.sizeBytes === 0 ? undefined : boxOf(tensor, model.experts, layout, position);
    if (box !== undefined && box.rows > 0 && box.rowBytes > 0) kept.push({ tensor: index, box });
  }
  return {
    tensor: Uint32Array.from(kept, ({ tensor }) => tensor),
    offsetBytes: Float64Array.from(kept, ({ box }) => box.offset),
    rows: Float64Array.from(kept, ({ box }) => box.rows),
    rowBytes: Float64Array.from(kept, ({ box }) => box.rowBytes),
    pitchBytes: Float64Array.from(kept, ({ box }) => box.pitch),
    rest: new Uint32Array(0),
  };
}

function boxOf(
  tensor: PlacedTensor,
  experts: number,
  { tp, ep }: ParallelLayout,
  { stage, tpRank, epRank }: LayoutPosition,
): Box | undefined {
  const { split, expert } = tensor;
  if (tensor.stage !== stage) return undefined;
  if (split === 'replicated') return wholeOf(tensor);
  if (split === 'expert' && ep > 1) {
    return Math.floor((expert * ep) / experts) === epRank ? wholeOf(tensor) : undefined;
  }
  const byRows = split === 'column' || (split === 'expert' && tensor.isDividedByRows);
  return byRows ? rowsOf(tensor, tp, tpRank) : columnsOf(tensor, tp, tpRank);
}

function wholeOf({ sizeBytes }: PlacedTensor): Box {
  return { offset: 0, rows: 1, rowBytes: sizeBytes, pitch: sizeBytes };
}

/** A run of rows. Several ranks keep the same rows if there are fewer units of rows than ranks. */
function rowsOf(tensor: PlacedTensor, tp: number, rank: number): Box {
  const { shape, sizeBytes, unitRows } = tensor;
  const rows = shape[0] ?? 1;
  const rowBytes = sizeBytes / rows;
  if (!Number.isInteger(rowBytes)) return wholeOf(tensor);
  const units = Math.max(1, Math.floor(rows / unitRows));
  const [from, to] = units >= tp ? share(rows, tp, rank) : share(rows, units, Math.floor((rank * units) / tp));
  const bytes = (to - from) * rowBytes;
  return { offset: from * rowBytes, rows: 1, rowBytes: bytes, pitch: bytes };
}

/** The same columns of every row. Several ranks keep the same columns if there are fewer columns than ranks. */
function columnsOf(tensor: PlacedTensor, tp: number, rank: number): Box {
  const { shape, sizeBytes } = tensor;
  const rows = shape[0] ?? 1;
  const pitch = sizeBytes / rows;
  const columns = shape.slice(1).reduce((product, size) => product * size, 1);
  const columnBytes = pitch / columns;
  if (shape.length < 2 || !Number.isInteger(columnBytes)) return wholeOf(tensor);
  const [from, to] =
    columns >= tp ? share(columns, tp, rank) : share(columns, columns, Math.floor((rank * columns) / tp));
  if (to - from === columns) return wholeOf(tensor);
  const rowBytes = (to - from) * columnBytes;
  if (rows === 1) return { offset: from * columnBytes, rows, rowBytes, pitch: rowBytes };
  return { offset: from * columnBytes, rows, rowBytes, pitch };
}

function share(count: number, parts: number, part: number): [from: number, to: number] {
  return [Math.floor((count * part) / parts), Math.floor((count * (part + 1)) / parts)];
}
