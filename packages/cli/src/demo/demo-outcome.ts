import type { UpdateOutcome } from '../update/update-outcome.ts';
import { type Comparison, isEqual } from './compare-digests.ts';

/** One update of the demo and the comparison after it. Plain data. */
export interface DemoUpdate {
  readonly outcome: UpdateOutcome;
  readonly comparisons: readonly Comparison[];
  /** Tensors of all workers at the same address as before this update. Absent for the first one. */
  readonly inPlaceCount?: number | undefined;
  readonly compareMs: number;
}

/** The result of the demo, as `demo --json` prints it. */
export interface DemoOutcome {
  /** Whether after every update every tensor of every worker had the right bytes at its previous address. */
  readonly ok: boolean;
  readonly device: 'cuda' | 'host';
  readonly rankCount: number;
  readonly tensorCount: number;
  readonly totalBytes: number;
  readonly updates: readonly DemoUpdate[];
}

/** Whether every tensor of every worker was right after an update. */
export function isRight({ outcome, comparisons, inPlaceCount }: DemoUpdate): boolean {
  const stayed = inPlaceCount === undefined || inPlaceCount === comparisons.length * outcome.tensorCount;
  return stayed && comparisons.every(isEqual);
}
