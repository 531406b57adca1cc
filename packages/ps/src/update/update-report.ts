import type { BucketSizing, Plan } from '@checkpoint-engine/planner';
import type { ProgressEvent, UpdateResult } from '../server/api.ts';
import type { Agreement } from './agreement.ts';
import type { PlannedUpdate } from './plan-update.ts';
import type { Stopwatch } from './stopwatch.ts';
import type { UpdateContext } from './update-context.ts';

/** Tells the listener what will be moved, and how. */
export function emitPlan(emit: (event: ProgressEvent) => void, rank: number, plan: Plan, sizing: BucketSizing): void {
  const { bucketBytes, ringSlots, stagingSlots, deviceBytes, reason } = sizing;
  emit({
    type: 'plan',
    rank,
    bucketBytes,
    bucketCount: plan.buckets.length,
    ringSlots,
    stagingSlots,
    deviceBytes,
    totalBytes: plan.totalBytes,
    reason,
    atMs: performance.timeOrigin + performance.now(),
  });
}

/** What the update did, seen from this rank. */
export function summarise(
  { checkpoint }: UpdateContext,
  { counter }: Agreement,
  { plan, sizing }: PlannedUpdate,
  moves: boolean,
  { durationsMs }: Stopwatch,
): UpdateResult {
  const { bucketBytes, ringSlots, stagingSlots, deviceBytes, reason } = sizing;
  return {
    checkpoint,
    counter,
    totalBytes: plan.totalBytes,
    tensorCount: plan.tensorCount,
    bucketCount: plan.buckets.length,
    bucketBytes,
    ringSlots,
    stagingSlots,
    deviceBytes: moves ? deviceBytes : 0,
    reason,
    durationsMs,
  };
}
