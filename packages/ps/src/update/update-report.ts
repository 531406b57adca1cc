import { nowMs } from '@checkpoint-engine/interface/shared';
import type { UpdateResult } from '../api.ts';
import type { BucketSource } from '../sources/bucket-source.ts';
import type { Agreement } from './agreement.ts';
import type { Meeting } from './meet.ts';
import type { ChosenMethod } from './method.ts';
import type { PlannedUpdate } from './plan-update.ts';
import { stageBytes } from './stage-bytes.ts';
import type { Stopwatch } from './stopwatch.ts';
import { tensorList } from './tensor-list.ts';
import type { UpdateContext } from './update-context.ts';
import type { UpdateRun } from './update-run.ts';

/** The method of the update, and how many bytes this rank's worker keeps. */
export interface MethodReport {
  readonly method: ChosenMethod;
  /** Bytes of the checkpoint that this rank's worker keeps. */
  readonly neededBytes: number;
  /** Bytes that the worker copies itself. */
  readonly pullBytes: number;
  /** Bytes that this rank reads into its host's ring. */
  readonly readBytes: number;
}

const NO_BUCKETS = {
  ...{ bucketBytes: 0, ringSlots: 0, stagingSlots: 0, deviceBytes: 0 },
  reason: 'No tensor is sent in buckets',
};

const NOTHING = { read: 0, h2d: 0, broadcast: 0, reload: 0, pull: 0 };

/** The report if the workers did not report what they keep: each receiving worker gets everything. */
export function wholeBuckets(context: UpdateContext, { roles }: Meeting, method: ChosenMethod): MethodReport {
  const receives = roles.receivers.includes(context.store.rank);
  return { method, neededBytes: receives ? bytesOf(context) : 0, pullBytes: 0, readBytes: 0 };
}

/** Reports to the listener which bytes will move, if buckets pass through this rank. */
export function emitPlan(
  { emit, context }: UpdateRun,
  { roles, link, moves }: Meeting,
  planned: PlannedUpdate | undefined,
  source: BucketSource | undefined,
  report: MethodReport,
): void {
  if (!moves) return;
  const { rank } = context.store;
  const { method, neededBytes, pullBytes, readBytes } = report;
  const { bucketBytes, ringSlots, stagingSlots, deviceBytes, reason } = planned?.sizing ?? NO_BUCKETS;
  const totalBytes = bytesOf(context);
  const stages =
    planned !== undefined && source !== undefined
      ? stageBytes({ ...planned, source, broadcasts: link !== undefined, receives: roles.receivers.includes(rank) })
      : NOTHING;
  emit({
    type: 'plan',
    rank,
    bucketBytes,
    bucketCount: planned?.plan.buckets.length ?? 0,
    ringSlots,
    stagingSlots,
    deviceBytes,
    totalBytes,
    method: method.name,
    methodReason: method.reason,
    neededBytes,
    stageBytes: { ...stages, pull: pullBytes, read: stages.read + readBytes },
    reason,
    atMs: nowMs(),
  });
}

/** The result of the update at this rank. */
export function summarise(
  context: UpdateContext,
  { counter }: Agreement,
  planned: PlannedUpdate | undefined,
  moves: boolean,
  { durationsMs }: Stopwatch,
  report: MethodReport & Pick<UpdateResult, 'pulledBytes' | 'modules' | 'weightVersion' | 'version' | 'verified'>,
): UpdateResult {
  const { bucketBytes, ringSlots, stagingSlots, deviceBytes, reason } = planned?.sizing ?? NO_BUCKETS;
  const totalBytes = bytesOf(context);
  const { method, neededBytes, pulledBytes, modules, weightVersion, version, verified } = report;
  return {
    checkpoint: context.checkpoint,
    counter,
    weightVersion,
    version,
    totalBytes,
    tensorCount: context.metas.reduce((sum, { tensors }) => sum + tensors.length, 0),
    method: method.name,
    methodReason: method.reason,
    neededBytes,
    pulledBytes,
    modules,
    bucketCount: planned?.plan.buckets.length ?? 0,
    bucketBytes,
    ringSlots,
    stagingSlots,
    deviceBytes: moves ? deviceBytes : 0,
    reason,
    durationsMs,
    verified,
    removedFiles: [],
  };
}

function bytesOf({ wholeMetas, metas }: UpdateContext): number {
  return tensorList(wholeMetas ?? metas).sizesBytes.reduce((sum, sizeBytes) => sum + sizeBytes, 0);
}
