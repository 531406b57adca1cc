import type { UpdateResult } from '../api.ts';
import type { BucketSource } from '../sources/bucket-source.ts';
import type { Agreement } from './agreement.ts';
import type { Meeting } from './meet.ts';
import type { PlannedUpdate } from './plan-update.ts';
import { stageBytes } from './stage-bytes.ts';
import type { Stopwatch } from './stopwatch.ts';
import type { UpdateContext } from './update-context.ts';
import type { UpdateRun } from './update-run.ts';

/** Tells the listener what will be moved, and how, where buckets come through this rank. */
export function emitPlan(
  { emit, context }: UpdateRun,
  { planned, roles, link, moves }: Meeting,
  source: BucketSource,
): void {
  if (!moves) return;
  const { rank } = context.store;
  const { plan, sizing } = planned;
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
    stageBytes: stageBytes({
      ...planned,
      source,
      broadcasts: link !== undefined,
      receives: roles.receivers.includes(rank),
    }),
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
