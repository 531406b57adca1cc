import { type ParameterMeta, type RankMetas, readCheckpoint, type TensorEntry } from '@checkpoint-engine/meta';
import {
  alignUp,
  type BucketSizing,
  balanceByBytes,
  DEFAULT_ALIGN_BYTES,
  orderByAffinity,
  type PlanSummary,
  planBuckets,
  planSummary,
  sizeUpdate,
} from '@checkpoint-engine/planner';
import type { MemoryLimits } from '../config/environment.ts';
import type { DeviceKind } from '../config/jobs.ts';

/** The inputs of {@link planUpdate}. Sizes in bytes. */
export interface PlanUpdateInput extends MemoryLimits {
  readonly path: string;
  readonly worldSize: number;
  readonly deviceKind: DeviceKind;
  /** Free device memory at the rank that has least. */
  readonly freeBytes: number;
  readonly bucketBytes?: number | undefined;
  readonly deviceMemoryBytes?: number | undefined;
}

/** The plan of an update. Plain data. */
export interface PlannedUpdate {
  readonly path: string;
  readonly worldSize: number;
  readonly deviceKind: DeviceKind;
  readonly freeBytes: number;
  readonly sizing: BucketSizing;
  readonly summary: PlanSummary;
  readonly warnings: readonly string[];
}

/**
 * Plans an update from a checkpoint's headers in the same way as the ranks: same shares, same sizes, same buckets.
 *
 * @throws Errors of {@link readCheckpoint}; `CE_PLAN_MEMORY_TOO_SMALL`.
 */
export async function planUpdate(input: PlanUpdateInput): Promise<PlannedUpdate> {
  const { path, worldSize, deviceKind, freeBytes } = input;
  const { tensors, warnings } = await readCheckpoint(path);
  const metas = shares(tensors, worldSize);
  const sizing = sizeUpdate(metas, {
    hostAddressable: deviceKind === 'host',
    freeBytes,
    memberCount: worldSize,
    bucketBytes: input.bucketBytes,
    maxBucketBytes: input.maxBucketBytes,
    deviceMemoryBytes: input.deviceMemoryBytes,
    memFraction: input.memFraction,
  });
  const plan = planBuckets(metas, sizing);
  return { path, worldSize, deviceKind, freeBytes, sizing, summary: planSummary(plan, metas), warnings };
}

/** The share of each rank, all in one pool. */
function shares(tensors: readonly TensorEntry[], worldSize: number): RankMetas[] {
  const owners = balanceByBytes(tensors, worldSize);
  return Array.from({ length: worldSize }, (_, rank) => {
    const own = orderByAffinity(tensors.filter((_, index) => owners[index] === rank));
    let endBytes = 0;
    const placed = own.map(({ name, dtype, shape, sizeBytes }): ParameterMeta => {
      const offsetBytes = endBytes;
      endBytes += alignUp(sizeBytes, DEFAULT_ALIGN_BYTES);
      return { name, dtype, shape, sizeBytes, region: 0, offsetBytes };
    });
    const regions = own.length > 0 ? [{ sizeBytes: endBytes }] : [];
    return { checkpoint: 'plan', rank, host: '', deviceUuid: '', nics: [], regions, tensors: placed };
  });
}
