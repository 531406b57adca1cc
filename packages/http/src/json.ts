import type { ModuleReport, SerializedError } from '@checkpoint-engine/interface';
import { CheckpointEngineError, UNKNOWN_VERSION } from '@checkpoint-engine/interface';
import type { VerifyReport } from '@checkpoint-engine/ps';
import type { HeldWeights, InstanceView } from './instances.ts';
import { type Problem, problemOf } from './problem.ts';
import type { UpdateRecord } from './update-record.ts';
import type { CheckpointView, RankView } from './world.ts';

// The types of the schemas in replies.ts.

export function rankJson({ rank, state, node, device, restarts, lastError }: RankView): object {
  return { rank, state, node, device, restarts, last_error: errorJson(lastError) };
}

export function checkpointJson(checkpoint: CheckpointView): object {
  const { name, state, weightVersion, files, hasMetas, tensorCount, sizeBytes, warnings, ranks } = checkpoint;
  return {
    name,
    state,
    weight_version: weightVersion,
    files,
    has_metas: hasMetas,
    tensor_count: tensorCount,
    size_bytes: sizeBytes,
    warnings,
    ranks: ranks.map((share) => ({
      rank: share.rank,
      state: share.state,
      tensor_count: share.tensorCount,
      size_bytes: share.sizeBytes,
      pool_bytes: share.poolBytes,
      error: errorJson(share.error),
    })),
  };
}

export function updateJson(update: UpdateRecord): object {
  const { progress, summary, error } = update;
  return {
    id: update.id,
    checkpoint: update.checkpoint,
    state: update.state,
    weight_version: update.weightVersion,
    requested_method: update.request.method,
    method: progress.method?.name,
    method_reason: progress.method?.reason,
    created_at: isoTime(update.createdAtMs),
    started_at: isoTime(update.startedAtMs),
    ended_at: isoTime(update.endedAtMs),
    duration_ms: update.startedAtMs === undefined ? undefined : rounded(update.durationMs),
    stage: update.state === 'succeeded' ? 'done' : progress.stage,
    done_bytes: update.state === 'succeeded' ? progress.totalBytes : progress.doneBytes,
    total_bytes: progress.totalBytes,
    done_buckets: update.state === 'succeeded' ? progress.bucketCount : progress.doneBuckets,
    bucket_count: progress.bucketCount,
    rate_gb_per_s: rounded(progress.rateGBps),
    ranks: [...progress.ranks.values()]
      .sort((a, b) => a.rank - b.rank)
      .map((rank) => ({
        rank: rank.rank,
        stage: rank.stage,
        read_bytes: rank.readBytes,
        h2d_bytes: rank.h2dBytes,
        broadcast_bytes: rank.broadcastBytes,
        reload_bytes: rank.reloadBytes,
        pull_bytes: rank.pullBytes,
        needed_bytes: rank.neededBytes,
        modules: modulesJson(summary?.modules?.get(rank.rank)),
        reloaded_buckets: rank.reloadedBuckets,
      })),
    engines: progress.engines.map(({ groupIndex, endpoint, acknowledged, weightVersionBefore }) => ({
      group_index: groupIndex,
      endpoint,
      acknowledged,
      weight_version_before: weightVersionBefore,
      weight_version: (update.state === 'succeeded' && update.weightVersion) || UNKNOWN_VERSION,
    })),
    durations_ms: summary && roundedAll(summary.durationsMs),
    verified: summary?.verified && {
      mode: summary.verified.mode,
      arrived_bytes: summary.verified.arrivedBytes,
      held_bytes: summary.verified.heldBytes,
      unverified_tensors: summary.verified.unverifiedTensors,
    },
    removed_files: summary?.removedFiles,
    error: error && problemOf(error),
  };
}

export function verifyJson(report: VerifyReport): object {
  const { checkpoint, digest, differingCount } = report;
  return {
    checkpoint,
    equal: differingCount === 0,
    digest,
    checked_bytes: report.checkedBytes,
    checked_tensors: report.checkedTensors,
    differing: report.differing.map(({ rank, otherRanks, tensor, offsetBytes, sizeBytes, expected, seen }) => ({
      ...{ rank, other_ranks: otherRanks, tensor, offset_bytes: offsetBytes, size_bytes: sizeBytes, expected, seen },
    })),
    differing_count: differingCount,
    unverified: report.unverified,
    unverified_tensors: report.unverifiedTensors,
  };
}

function modulesJson(report: ModuleReport | undefined): object | undefined {
  if (report === undefined) return undefined;
  const { modules, direct, staged, opaque, reasons } = report;
  return { count: modules, direct, staged, opaque, reasons };
}

export function instanceJson(instance: InstanceView): object {
  const { endpoint, state, weightVersion, reason, last } = instance;
  return {
    endpoint,
    state,
    weight_version: weightVersion,
    reason,
    ...weightsJson(instance),
    last: last && { weight_version: last.weightVersion, ...weightsJson(last) },
  };
}

function weightsJson({ checkpoint, updateId, confirmedAtMs }: Partial<HeldWeights>): object {
  return { checkpoint, update_id: updateId, confirmed_at: isoTime(confirmedAtMs) };
}

function errorJson(error: SerializedError | undefined): Problem | undefined {
  return error && problemOf(CheckpointEngineError.fromJSON(error));
}

function isoTime(atMs: number | undefined): string | undefined {
  return atMs === undefined ? undefined : new Date(atMs).toISOString();
}

/** Removes digits beyond the resolution of the clock. */
function rounded(value: number): number {
  return Number(Math.abs(value) >= 1 ? value.toFixed(3) : value.toPrecision(3));
}

function roundedAll(values: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, rounded(value)]));
}
