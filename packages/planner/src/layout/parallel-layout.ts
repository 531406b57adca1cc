import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { DEFAULT_RULES, type SplitRule } from './split-rules.ts';

/** How an inference instance divides a model over its ranks. */
export interface ParallelLayout {
  /** Ranks that divide a layer. */
  readonly tp: number;
  /** Ranks that divide the experts of a layer, a multiple of `tp`. 1 if `tp` divides each expert. */
  readonly ep: number;
  /** Stages that divide the layers. */
  readonly pp: number;
  /** Tried before {@link DEFAULT_RULES}. */
  readonly rules: readonly SplitRule[];
}

/** The part of a rank in its instance. */
export interface LayoutPosition {
  readonly stage: number;
  readonly tpRank: number;
  readonly epRank: number;
}

/** Ranks of one instance: each of its stages has as many as the larger of `tp` and `ep`. */
export function instanceSize(layout: Pick<ParallelLayout, 'tp' | 'ep' | 'pp'>): number {
  return stageSize(layout) * layout.pp;
}

/** The part of any rank of the world. Instances, and stages in them, are runs of neighboring ranks. */
export function positionOf(layout: ParallelLayout, rank: number): LayoutPosition {
  const size = stageSize(layout);
  const inInstance = rank % instanceSize(layout);
  const inStage = inInstance % size;
  return { stage: Math.floor(inInstance / size), tpRank: inStage % layout.tp, epRank: inStage % layout.ep };
}

/** All rules, in the order in which they are tried. */
export function rulesOf({ rules }: Pick<ParallelLayout, 'rules'>): readonly SplitRule[] {
  return [...rules, ...DEFAULT_RULES];
}

/**
 * Checks that a layout fits a number of ranks that receive.
 *
 * @throws `CE_CONFIG_INVALID`
 */
export function checkLayout(layout: ParallelLayout, receivers: number): void {
  const { tp, ep, pp } = layout;
  for (const [name, value] of Object.entries({ tp, ep, pp })) {
    if (!Number.isSafeInteger(value) || value < 1) throw invalid(`${name} is ${value}, expected an integer above 0`);
  }
  if (ep > 1 && ep % tp !== 0) throw invalid(`ep is ${ep}, expected a multiple of tp, ${tp}`);
  const size = instanceSize(layout);
  if (receivers % size === 0) return;
  throw invalid(`${receivers} ranks do not divide into instances of ${size} ranks (tp ${tp}, ep ${ep}, pp ${pp})`);
}

function stageSize({ tp, ep }: Pick<ParallelLayout, 'tp' | 'ep'>): number {
  return Math.max(tp, ep);
}

function invalid(what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    what,
    'Choose --tp, --ep and --pp so that instances fill the ranks',
  );
}
