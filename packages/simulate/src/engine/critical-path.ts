import type { StageName, Task } from './task.ts';

/** A step on the longest chain of steps that wait for each other. */
export interface CriticalStep {
  readonly stage: StageName;
  readonly rank: number;
  readonly index: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Follows the steps that delayed each other, from the last one to the start. The result is in order of time. */
export function criticalPath(last: Task | undefined): CriticalStep[] {
  const steps: CriticalStep[] = [];
  for (let task = last; task !== undefined; task = task.cause) {
    const { stage, rank, index, startMs, endMs } = task;
    if (endMs > startMs) steps.push({ stage, rank, index, fromMs: startMs, toMs: endMs });
  }
  return steps.reverse();
}
