import type { UpdateSummary } from '@checkpoint-engine/http';
import type { UpdateResult } from '@checkpoint-engine/ps';

/** Merges the results of all ranks. There is at least one result. */
export function summaryOf(results: readonly UpdateResult[]): UpdateSummary {
  const { weightVersion, totalBytes, tensorCount, bucketCount } = results[0]!;
  const phases = Object.keys(results[0]!.durationsMs) as (keyof UpdateResult['durationsMs'])[];
  const slowest = (phase: (typeof phases)[number]): number =>
    Math.max(...results.map(({ durationsMs }) => durationsMs[phase]));
  return {
    weightVersion,
    totalBytes,
    tensorCount,
    bucketCount,
    deviceBytes: Math.max(...results.map(({ deviceBytes }) => deviceBytes)),
    modules: new Map(results.flatMap(({ modules }, rank) => (modules === undefined ? [] : [[rank, modules]]))),
    removedFiles: results.flatMap(({ removedFiles }) => removedFiles).sort(),
    verified: {
      mode: results[0]!.verified.mode,
      arrivedBytes: sum(results, ({ arrivedBytes }) => arrivedBytes),
      heldBytes: sum(results, ({ heldBytes }) => heldBytes),
      unverifiedTensors: Math.max(...results.map(({ verified }) => verified.unverifiedTensors)),
    },
    durationsMs: Object.fromEntries(phases.map((phase) => [phase, slowest(phase)])),
  };
}

function sum(results: readonly UpdateResult[], of: (verified: UpdateResult['verified']) => number): number {
  return results.reduce((total, { verified }) => total + of(verified), 0);
}
