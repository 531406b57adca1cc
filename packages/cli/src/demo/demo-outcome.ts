import type { UpdateOutcome } from '../update/update-outcome.ts';
import { type Comparison, isEqual } from './compare-digests.ts';

/** One update of the demo and what the workers held after it. Plain data. */
export interface DemoUpdate {
  readonly outcome: UpdateOutcome;
  readonly comparisons: readonly Comparison[];
  /** Tensors of all workers that lie where they lay before this update; absent for the first one. */
  readonly inPlaceCount?: number | undefined;
  readonly compareMs: number;
}

/** What the demo did: what `demo --json` prints. */
export interface DemoOutcome {
  /** Every tensor of every worker had the right bytes after every update, where it lay before. */
  readonly ok: boolean;
  readonly device: 'cuda' | 'host';
  readonly rankCount: number;
  readonly tensorCount: number;
  readonly totalBytes: number;
  readonly updates: readonly DemoUpdate[];
}

/** Whether an update left every tensor of every worker as it ought to be. */
export function isRight({ outcome, comparisons, inPlaceCount }: DemoUpdate): boolean {
  const stayed = inPlaceCount === undefined || inPlaceCount === comparisons.length * outcome.tensorCount;
  return stayed && comparisons.every(isEqual);
}
