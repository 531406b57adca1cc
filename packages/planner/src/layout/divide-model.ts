import type { TensorSpec } from '@checkpoint-engine/meta';
import { type ParallelLayout, rulesOf } from './parallel-layout.ts';
import type { Split, SplitRule } from './split-rules.ts';

const LAYER = /(?:^|\.)layers\.(\d+)\./;
const EXPERT = /\.experts\.(\d+)\./;
/** Rows and columns that share one scale in block-quantized checkpoints. */
const SCALE_BLOCK = 128;

/** A tensor, and what decides who keeps it. */
export interface PlacedTensor {
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  readonly split: Split;
  /** Rows that a rank keeps together. */
  readonly unitRows: number;
  readonly stage: number;
  /** -1 outside of experts. */
  readonly expert: number;
  /** Whether ranks that divide an expert divide this tensor of it by rows. */
  readonly isDividedByRows: boolean;
}

/** A model as its engine divides it. */
export interface DividedModel {
  readonly tensors: readonly PlacedTensor[];
  /** Experts of a layer. */
  readonly experts: number;
}

/** Determines the rule, the stage and the expert of each tensor. */
export function divideModel(
  tensors: readonly (TensorSpec & { readonly sizeBytes: number })[],
  layout: ParallelLayout,
): DividedModel {
  const rules = rulesOf(layout);
  const layerOf = Int32Array.from(tensors, ({ name }) => numberIn(name, LAYER));
  const expertOf = Int32Array.from(tensors, ({ name }) => numberIn(name, EXPERT));
  const layers = layerOf.reduce((most, layer) => Math.max(most, layer + 1), 0);
  const experts = expertOf.reduce((most, expert) => Math.max(most, expert + 1), 0);
  const placed = tensors.map(({ name, shape, sizeBytes }, index): PlacedTensor => {
    const rule = ruleFor(name, rules);
    return {
      shape,
      sizeBytes,
      split: rule?.split ?? 'replicated',
      unitRows: Math.ceil((rule?.unitRows ?? 1) / (name.endsWith('_scale_inv') ? SCALE_BLOCK : 1)),
      stage: stageOf(name, layerOf[index]!, layers, layout.pp),
      expert: expertOf[index]!,
      isDividedByRows: !name.includes('.down_proj.'),
    };
  });
  return { tensors: placed, experts };
}

function numberIn(name: string, pattern: RegExp): number {
  return Number(pattern.exec(name)?.[1] ?? -1);
}

function ruleFor(name: string, rules: readonly SplitRule[]): SplitRule | undefined {
  return rules.find(({ match }) => match.test(name));
}

/** The embedding is on the first stage; other tensors outside of layers are on the last. */
function stageOf(name: string, layer: number, layers: number, pp: number): number {
  if (layer < 0) return name.includes('embed_tokens') ? 0 : pp - 1;
  return Math.min(pp - 1, Math.floor((layer * pp) / layers));
}
