import { type ParameterMeta, type RankMetas, readCheckpoint, type TensorEntry } from '@checkpoint-engine/meta';
import {
  alignUp,
  type BucketSizing,
  balanceByBytes,
  checkLayout,
  DEFAULT_ALIGN_BYTES,
  divideModel,
  needsOf,
  orderByAffinity,
  type ParallelLayout,
  type PlanSummary,
  planBuckets,
  planSummary,
  positionOf,
  sizeUpdate,
} from '@checkpoint-engine/planner';
import type { MemoryLimits } from '../config/environment.ts';
import type { DeviceKind } from '../config/requests.ts';
import { readNeedsFile } from './needs-file.ts';
import { type NeedsPlan, planNeeds } from './plan-needs.ts';

/** The inputs of {@link planUpdate}. Sizes in bytes. */
export interface PlanUpdateInput extends MemoryLimits {
  readonly path: string;
  readonly worldSize: number;
  readonly deviceKind: DeviceKind;
  /** Free device memory on the rank that has the least. */
  readonly freeBytes: number;
  readonly bucketBytes?: number | undefined;
  readonly deviceMemoryBytes?: number | undefined;
  /** The needs of ranks: from a file, or by a parallel layout. If absent, only buckets are planned. */
  readonly needs?: NeedsSource | undefined;
  /** Neighboring ranks that share a host. */
  readonly ranksPerHost: number;
}

/** The source of the needs of ranks. */
export type NeedsSource =
  | { readonly file: string }
  | { readonly layout: ParallelLayout }
  /** Asks the workers of running engines. */
  | { readonly ask: () => Promise<NeedsPlan> };

/** The plan of an update. Plain data. */
export interface PlannedUpdate {
  readonly path: string;
  readonly worldSize: number;
  readonly deviceKind: DeviceKind;
  readonly freeBytes: number;
  readonly sizing: BucketSizing;
  readonly summary: PlanSummary;
  /** The bytes that a pull would move. Absent if the needs of ranks are unknown. */
  readonly needs?: NeedsPlan | undefined;
  readonly warnings: readonly string[];
}

/**
 * Plans an update from a checkpoint's headers exactly as the ranks do: with the same shares, sizes and buckets.
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
  const needs = input.needs && (await planPull(metas, input.needs, input.ranksPerHost));
  return { path, worldSize, deviceKind, freeBytes, sizing, summary: planSummary(plan, metas), needs, warnings };
}

async function planPull(metas: readonly RankMetas[], source: NeedsSource, ranksPerHost: number): Promise<NeedsPlan> {
  if ('ask' in source) return await source.ask();
  const tensors = metas.flatMap((rank) => rank.tensors);
  if ('file' in source) {
    const needs = await readNeedsFile(source.file, tensors, metas.length);
    return planNeeds({ source: `needs of "${source.file}"`, metas, needs, ranksPerHost });
  }
  const { layout } = source;
  checkLayout(layout, metas.length);
  const model = divideModel(tensors, layout);
  const needs = new Map(metas.map(({ rank }) => [rank, needsOf(model, layout, positionOf(layout, rank))]));
  const { tp, ep, pp } = layout;
  return planNeeds({ source: `by rule, tp ${tp}, ep ${ep}, pp ${pp}`, metas, needs, ranksPerHost });
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
