import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { DEFAULT_RULES, type SplitRule } from './split-rules.ts';

/** How an inference instance divides a model over its ranks. */
export interface Layout {
  /** Ranks that divide a layer. */
  readonly tp: number;
  /** Ranks that divide the experts of a layer, a multiple of `tp`. 1 if `tp` divides each expert. */
  readonly ep: number;
  /** Stages that divide the layers. */
  readonly pp: number;
  /** Tried before the rules of vLLM and SGLang. */
  readonly rules: readonly SplitRule[];
}

/** The part of a rank in its instance. */
export interface Position {
  readonly stage: number;
  readonly tpRank: number;
  readonly epRank: number;
}

/** Ranks of one instance. Its stages have max(tp, ep) ranks each. */
export const instanceSize = ({ tp, ep, pp }: Layout): number => stageSize({ tp, ep }) * pp;

const stageSize = ({ tp, ep }: Pick<Layout, 'tp' | 'ep'>): number => Math.max(tp, ep);

/** @param rank Any rank of the world. Instances and stages are runs of neighboring ranks. */
export function positionOf(layout: Layout, rank: number): Position {
  const inInstance = rank % instanceSize(layout);
  const size = stageSize(layout);
  const inStage = inInstance % size;
  return { stage: Math.floor(inInstance / size), tpRank: inStage % layout.tp, epRank: inStage % layout.ep };
}

/** All rules, in the order in which they are tried. */
export const rulesOf = ({ rules }: Layout): readonly SplitRule[] => [...rules, ...DEFAULT_RULES];

/** @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export function checkLayout(layout: Layout, receivers: number): void {
  const { tp, ep, pp } = layout;
  for (const [name, value] of Object.entries({ tp, ep, pp })) {
    if (!Number.isInteger(value) || value < 1) throw invalid(`${name} is ${value}, expected an integer of 1 or more`);
  }
  if (ep > 1 && ep % tp !== 0) throw invalid(`ep is ${ep}, which is not a multiple of tp, ${tp}`);
  const size = instanceSize(layout);
  if (receivers % size !== 0) {
    throw invalid(`${receivers} ranks do not divide into instances of ${size} ranks (tp ${tp}, ep ${ep}, pp ${pp})`);
  }
}

function invalid(what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    what,
    'Choose --tp, --ep and --pp so that instances fill the ranks',
  );
}
