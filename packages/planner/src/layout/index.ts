export { type DividedModel, divideModel, type PlacedTensor } from './divide-model.ts';
export { needsOf } from './needs-of.ts';
export {
  checkLayout,
  instanceSize,
  type LayoutPosition,
  type ParallelLayout,
  positionOf,
  rulesOf,
} from './parallel-layout.ts';
export { DEFAULT_RULES, parseRules, SPLITS, type Split, type SplitRule } from './split-rules.ts';
