import type { ModuleReport } from '@checkpoint-engine/interface';
import { gigabytesPerSecond } from '../output/format.ts';
import type { RankDevice } from '../process/messages.ts';
import type { InstanceVersion } from '../report/instance-versions.ts';
import type { RankReport } from './rank-report.ts';

/** The phases of an update and of the work before it, in order; the pause of the engine and the update overlap them. */
export const TIMED_PHASES = [
  'register',
  'gatherMetas',
  'plan',
  'handshake',
  'stream',
  'release',
  'hook',
  'engine',
  'update',
] as const;

/** The result of an update, as `update --json` prints it. Durations are those of the slowest rank. */
export interface UpdateOutcome {
  readonly checkpoint: string;
  /** Version of the weights that the engines hold now. */
  readonly weightVersion: string;
  /** Instances that received a request from ranks of this process. */
  readonly instances: readonly InstanceVersion[];
  readonly worldSize: number;
  readonly device: RankDevice['kind'];
  readonly totalBytes: number;
  readonly tensorCount: number;
  /** The method that the ranks chose, and the reason for it. */
  readonly method: 'pull' | 'buckets';
  readonly methodReason: string;
  readonly bucketCount: number;
  readonly bucketBytes: number;
  readonly ringSlots: number;
  readonly stagingSlots: number;
  /** Device memory per rank during the update. */
  readonly deviceBytes: number;
  readonly reason: string;
  readonly durationsMs: Readonly<Record<(typeof TIMED_PHASES)[number], number>>;
  /** Bytes of the checkpoint divided by the duration of the update, in 1e9 bytes per second. */
  readonly rateGBps?: number | undefined;
  /** Files on `/dev/shm` that were used in place and are removed. */
  readonly removedFiles: readonly string[];
  readonly warnings: readonly string[];
  /** The ranks whose reports this process has. */
  readonly ranks: readonly RankOutcome[];
}

/** One rank of an {@link UpdateOutcome}. */
export interface RankOutcome {
  readonly rank: number;
  readonly device: RankDevice;
  readonly tensorCount: number;
  readonly sizeBytes: number;
  readonly poolBytes: number;
  readonly registerMs: number;
  readonly updateMs: number;
  /** Bytes of the checkpoint that this rank's worker keeps. */
  readonly neededBytes: number;
  /** Bytes of these that the worker copied itself. */
  readonly pulledBytes: number;
  /** How its worker receives its modules, with reasons. Absent if the worker did not report it. */
  readonly modules?: ModuleReport | undefined;
}

/**
 * Merges the reports of ranks. There is at least one; `devices` are in the order of the reports.
 *
 * @param warnings Warnings that do not come from a rank.
 */
export function updateOutcome(
  worldSize: number,
  devices: readonly RankDevice[],
  reports: readonly RankReport[],
  {
    warnings = [],
    removedFiles = [],
    instances = [],
  }: Partial<Pick<UpdateOutcome, 'warnings' | 'removedFiles' | 'instances'>> = {},
): UpdateOutcome {
  const {
    checkpoint,
    weightVersion,
    totalBytes,
    tensorCount,
    method,
    methodReason,
    bucketCount,
    bucketBytes,
    ringSlots,
    stagingSlots,
    deviceBytes,
    reason,
  } = reports[0]!.update;
  const slowest = (of: (report: RankReport) => number): number => Math.max(...reports.map(of));
  const { plan, handshake, stream, release, hook, engine } = reports[0]!.update.durationsMs;
  const phases = { plan, handshake, stream, release, hook, engine };
  const durationsMs = {
    register: slowest(({ registered }) => registered?.durationMs ?? 0),
    gatherMetas: slowest(({ metasMs }) => metasMs),
    ...(Object.fromEntries(
      Object.keys(phases).map((phase) => [
        phase,
        slowest(({ update }) => update.durationsMs[phase as keyof typeof phases]),
      ]),
    ) as typeof phases),
    update: slowest(({ update }) => update.durationsMs.total),
  };
  return {
    checkpoint,
    weightVersion,
    instances,
    worldSize,
    device: devices[0]!.kind,
    totalBytes,
    tensorCount,
    method,
    methodReason,
    bucketCount,
    bucketBytes,
    ringSlots,
    stagingSlots,
    deviceBytes,
    reason,
    durationsMs,
    rateGBps: gigabytesPerSecond(totalBytes, durationsMs.update),
    removedFiles,
    // Every rank reads the same files.
    warnings: [...new Set([...reports.flatMap(({ registered }) => registered?.warnings ?? []), ...warnings])],
    ranks: reports.map(({ rank, registered, update }, index) => ({
      rank,
      device: devices[index]!,
      tensorCount: registered?.tensorCount ?? 0,
      sizeBytes: registered?.sizeBytes ?? 0,
      poolBytes: registered?.poolBytes ?? 0,
      registerMs: registered?.durationMs ?? 0,
      updateMs: update.durationsMs.total,
      neededBytes: update.neededBytes,
      pulledBytes: update.pulledBytes,
      modules: update.modules,
    })),
  };
}
