import type { Needs } from '@checkpoint-engine/interface';
import type { ParameterMeta } from '@checkpoint-engine/meta';
import { type Layout, type Position, rulesOf } from './layout.ts';
import type { Split, SplitRule } from './split-rules.ts';

const LAYER = /(?:^|\.)layers\.(\d+)\./;
const EXPERT = /\.experts\.(\d+)\./;

/** A tensor, and what decides who keeps it. */
export interface PlacedTensor {
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  readonly split: Split;
  readonly unitRows: number;
  readonly stage: number;
  /** -1 outside of experts. */
  readonly expert: number;
  readonly isColumnOfExpert: boolean;
}

/** A model as its engine divides it. */
export interface DividedModel {
  readonly tensors: readonly PlacedTensor[];
  readonly experts: number;
}

/** Finds out for each tensor which rule, stage and expert it belongs to. */
export function divideModel(tensors: readonly ParameterMeta[], layout: Layout): DividedModel {
  const rules = rulesOf(layout);
  const layers = tensors.reduce((most, { name }) => Math.max(most, numberIn(name, LAYER) + 1), 0);
  const experts = tensors.reduce((most, { name }) => Math.max(most, numberIn(name, EXPERT) + 1), 0);
  const placed = tensors.map(({ name, shape, sizeBytes }): PlacedTensor => {
    const rule = ruleFor(name, rules);
    return {
      shape,
      sizeBytes,
      split: rule?.split ?? 'replicated',
      unitRows: Math.ceil((rule?.unitRows ?? 1) / (name.endsWith('_scale_inv') ? 128 : 1)),
      stage: stageOf(name, layers, layout.pp),
      expert: numberIn(name, EXPERT),
      isColumnOfExpert: !name.includes('.down_proj.'),
    };
  });
  return { tensors: placed, experts };
}

const numberIn = (name: string, pattern: RegExp): number => Number(pattern.exec(name)?.[1] ?? -1);

const ruleFor = (name: string, rules: readonly SplitRule[]): SplitRule | undefined =>
  rules.find(({ match }) => match.test(name));

/** The embedding is on the first stage; what is in no layer otherwise is on the last. */
function stageOf(name: string, layers: number, pp: number): number {
  const layer = numberIn(name, LAYER);
  if (layer < 0) return name.includes('embed_tokens') ? 0 : pp - 1;
  return Math.min(pp - 1, Math.floor((layer * pp) / layers));
}

/** The bytes that a rank keeps, as boxes: what a worker would report. */
export function needsOf({ tensors, experts }: DividedModel, layout: Layout, position: Position): Needs {
  const boxes: { tensor: number; offset: number; rows: number; rowBytes: number; pitch: number }[] = [];
  const { tp, ep } = layout;
  for (const [index, tensor] of tensors.entries()) {
    const { split, stage, expert, sizeBytes } = tensor;
    if (stage !== position.stage || sizeBytes === 0) continue;
    const whole = { tensor: index, offset: 0, rows: 1, rowBytes: sizeBytes, pitch: sizeBytes };
    if (split === 'replicated') {
      boxes.push(whole);
    } else if (split === 'expert' && ep > 1) {
      if (Math.floor((expert * ep) / experts) === position.epRank) boxes.push(whole);
    } else {
      const byRows = split === 'column' || (split === 'expert' && tensor.isColumnOfExpert);
      boxes.push({
        tensor: index,
        ...(byRows ? rowsOf(tensor, tp, position.tpRank) : columnsOf(tensor, tp, position.tpRank)),
      });
    }
  }
  const kept = boxes.filter(({ rows, rowBytes }) => rows > 0 && rowBytes > 0);
  return {
    tensor: Uint32Array.from(kept, (box) => box.tensor),
    offsetBytes: Float64Array.from(kept, (box) => box.offset),
    rows: Float64Array.from(kept, (box) => box.rows),
    rowBytes: Float64Array.from(kept, (box) => box.rowBytes),
    pitchBytes: Float64Array.from(kept, (box) => box.pitch),
    rest: new Uint32Array(0),
  };
}

type Box = { offset: number; rows: number; rowBytes: number; pitch: number };

/** A run of rows. Several ranks keep the same rows if there are fewer units of rows than ranks. */
function rowsOf({ shape, sizeBytes, unitRows }: PlacedTensor, tp: number, rank: number): Box {
  const rows = shape[0] ?? 1;
  const units = Math.max(1, Math.floor(rows / unitRows));
  const [from, to] = units >= tp ? share(rows, tp, rank) : share(rows, units, Math.floor((rank * units) / tp));
  const rowBytes = sizeBytes / rows;
  return { offset: from * rowBytes, rows: 1, rowBytes: (to - from) * rowBytes, pitch: (to - from) * rowBytes };
}

/** The same columns of every row. */
function columnsOf({ shape, sizeBytes }: PlacedTensor, tp: number, rank: number): Box {
  if (shape.length < 2) return { offset: 0, rows: 1, rowBytes: sizeBytes, pitch: sizeBytes };
  const rows = shape[0]!;
  const pitch = sizeBytes / rows;
  const columns = shape.slice(1).reduce((product, size) => product * size, 1);
  const [from, to] =
    columns >= tp ? share(columns, tp, rank) : share(columns, columns, Math.floor((rank * columns) / tp));
  const elementBytes = pitch / columns;
  if (to - from === columns) return { offset: 0, rows: 1, rowBytes: sizeBytes, pitch: sizeBytes };
  return { offset: from * elementBytes, rows, rowBytes: (to - from) * elementBytes, pitch };
}

const share = (count: number, parts: number, part: number): [from: number, to: number] => [
  Math.floor((count * part) / parts),
  Math.floor((count * (part + 1)) / parts),
];
