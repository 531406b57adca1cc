import { formatBytes } from '@checkpoint-engine/planner';
import { overlapOf } from '../report/overlap.ts';
import type { BenchResult, ResultRow, Target } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import { timelineOf } from '../report/timeline.ts';
import type { RankUpdate } from '../world/rank.ts';
import type { VariantFigures } from './measure-variant.ts';
import { pythonRows } from './python-rows.ts';
import type { UpdateFigures, UpdateScenarioOptions } from './update-figures.ts';
import { workerFigures } from './worker-figures.ts';

/** The driver allocates memory in pieces of 2 MiB, so one more piece is not a leak. */
const GROWTH_MIB = 4;
const OURS = 'checkpoint-engine';

/** Converts the figures of `bench update` to a result: rows, targets and timelines. */
export function updateResult(options: UpdateScenarioOptions, figures: UpdateFigures): Omit<BenchResult, 'version'> {
  const { checkpoint, floors, fixedMs, registerMs, gatherMs, variants } = figures;
  const common = { model: checkpoint.title, ranks: options.ranks };
  const floorMs = floorOf(options, figures);
  const updates = variants.map((variant) => updateRow(options, figures, variant, floorMs));
  const python = pythonRows(figures, common, floorMs);
  const best = updates.toSorted((a, b) => median(a.samplesMs) - median(b.samplesMs))[0]!;
  return {
    scenario: 'update',
    title: titleOf(best, variants[0]!.variant.ranks?.length ?? options.ranks, python, checkpoint.sizeBytes),
    machine: figures.links === undefined ? floors.machine : { ...floors.machine, nccl: figures.links.nccl },
    options: {
      model: options.model ?? '',
      scaleBytes: options.scale ?? 0,
      device: options.device,
      receiver: options.receiver,
      ranks: options.ranks,
      updates: options.updates,
    },
    rows: [
      ...floorRows(options, figures),
      {
        ...common,
        model: 'one small tensor',
        by: OURS,
        what: 'update',
        samplesMs: fixedMs,
        note: "the receiver's own fixed time: handshake, release, post hook",
      },
      {
        ...common,
        by: OURS,
        what: 'register',
        samplesMs: registerMs.length > 1 ? registerMs.slice(1) : registerMs,
        warmupMs: registerMs.length > 1 ? registerMs.slice(0, 1) : [],
        sizeBytes: checkpoint.sizeBytes,
        hostBytes: figures.poolBytes,
      },
      { ...common, by: OURS, what: 'gather', samplesMs: gatherMs },
      ...updates,
      ...python,
    ],
    // `bench host` measures the floor of the host device.
    targets: options.device === 'cuda' ? targetsOf(options, figures, updates, python, floorMs) : [],
    timelines: options.timelines
      ? variants.map(({ variant, last }) =>
          timelineOf(
            [
              checkpoint.title,
              ...Object.entries(variant).flatMap(([name, value]) => (value ? [`${name} ${value}`] : [])),
            ].join(', '),
            last.map(({ events }) => events),
          ),
        )
      : [],
    notes: notesOf(options, variants),
  };
}

/** The floor: every byte leaves the host once, and arrives at every GPU once. */
function floorOf({ ranks }: UpdateScenarioOptions, { checkpoint, floors, links }: UpdateFigures): number {
  const h2dGBps = Math.max(floors.h2dTogetherGBps, links?.h2d_all_GBps ?? 0);
  const h2dMs = checkpoint.sizeBytes / ranks / h2dGBps / 1e6;
  const broadcastMs = links?.broadcast_GBps === undefined ? 0 : checkpoint.sizeBytes / links.broadcast_GBps / 1e6;
  return Math.max(h2dMs, broadcastMs);
}

function updateRow(
  { ranks }: UpdateScenarioOptions,
  { checkpoint }: UpdateFigures,
  { variant, samplesMs, warmupMs, last, worker, driverBytes, growth, checked, wrong }: VariantFigures,
  floorMs: number,
): ResultRow {
  const { result } = slowestOf(last);
  const { ranks: receiving, deviceMemoryBytes, releaseCommunicators } = variant;
  return {
    by: OURS,
    what: 'update',
    model: checkpoint.title,
    ranks,
    bucketBytes: result.bucketBytes,
    settings: {
      ...(receiving !== undefined && { 'receiving ranks': receiving.join(',') }),
      ...(variant.bucketBytes !== undefined && { 'bucket-size': formatBytes(variant.bucketBytes) }),
      ...(deviceMemoryBytes !== undefined && { 'device-memory': formatBytes(deviceMemoryBytes) }),
      ...(releaseCommunicators && { 'release-communicators': true }),
    },
    samplesMs,
    warmupMs,
    sizeBytes: checkpoint.sizeBytes,
    floorMs,
    phasesMs: result.durationsMs,
    deviceBytes: Math.max(...last.map((one) => one.result.deviceBytes)),
    driverBytes,
    checked,
    wrong,
    figures: {
      buckets: result.bucketCount,
      'streaming GB/s': checkpoint.sizeBytes / result.durationsMs.stream / 1e6,
      ...overlapFigures(last[0]!),
      ...(growth && { 'growth MiB': growth.deviceBytes / 2 ** 20, 'growth files': growth.openFiles }),
      ...(worker && workerFigures(worker, median(samplesMs), checkpoint.tensorCount)),
    },
    note: result.reason,
  };
}

/** The overlap of the stages of the first rank. */
function overlapFigures({ events }: RankUpdate): Record<string, number> {
  const { spanMs, atLeastMs } = overlapOf(events);
  const percent = (count: number): number => (100 * atLeastMs[count]!) / spanMs;
  return spanMs === 0 ? {} : { 'two stages at once %': percent(2), 'three stages at once %': percent(3) };
}

const slowestOf = (ranks: readonly RankUpdate[]): RankUpdate => ranks.toSorted((a, b) => b.updateMs - a.updateMs)[0]!;

function floorRows({ ranks }: UpdateScenarioOptions, { checkpoint, floors, links, gloo }: UpdateFigures): ResultRow[] {
  const { sizeBytes } = checkpoint;
  const row = (what: string, rateGBps: number | undefined, bytes: number, note: string): ResultRow[] =>
    rateGBps === undefined
      ? []
      : [{ by: `floor: ${note}`, what, ranks, samplesMs: [bytes / rateGBps / 1e6], sizeBytes: bytes }];
  const shareBytes = sizeBytes / ranks;
  return [
    ...row('H2D, one GPU alone', floors.h2dAloneGBps, shareBytes, 'pinned copies, our device'),
    ...(ranks > 1 ? row('H2D, all GPUs', floors.h2dTogetherGBps, shareBytes, 'pinned copies, our device') : []),
    ...row('H2D, one GPU alone', links?.h2d_alone_GBps, shareBytes, 'pinned copies, torch'),
    ...(ranks > 1 ? row('H2D, all GPUs', links?.h2d_all_GBps, shareBytes, 'pinned copies, torch') : []),
    ...row('broadcast', links?.broadcast_GBps, sizeBytes, 'NCCL, torch'),
    ...(gloo === undefined
      ? []
      : [
          {
            ...{ by: 'torch gloo', what: 'broadcast', ranks, sizeBytes: gloo.bytes },
            samplesMs: gloo.seconds.slice(1).map((seconds) => seconds * 1e3),
            note: 'into memory of each process; nothing is reloaded from there',
          },
        ]),
    ...row('H2D and broadcast together', links?.both_GBps, sizeBytes, 'NCCL and copies, torch'),
  ];
}

function targetsOf(
  { ranks }: UpdateScenarioOptions,
  { fixedMs, variants }: UpdateFigures,
  updates: readonly ResultRow[],
  python: readonly ResultRow[],
  floorMs: number,
): Target[] {
  // The first variant has the defaults, or the options that were given first.
  const [update] = updates;
  const ms = median(update!.samplesMs);
  const streamMs = variants[0]!.last.map(({ result }) => result.durationsMs.stream);
  const kept = python.find(({ by, what }) => what === 'update' && by.includes('group kept'));
  return [
    ...(ranks === 1
      ? [
          {
            what: 'update <= 1.05 x floor + fixed time',
            measured: ms,
            atMost: 1.05 * floorMs + median(fixedMs),
            unit: 'ms',
          },
        ]
      : [
          { what: 'update <= 1.15 x floor', measured: ms, atMost: 1.15 * floorMs, unit: 'ms' },
          {
            what: 'update <= 1.15 x floor + fixed time',
            measured: ms,
            atMost: 1.15 * floorMs + median(fixedMs),
            unit: 'ms',
          },
        ]),
    { what: 'streaming alone <= 1.15 x floor', measured: Math.max(...streamMs), atMost: 1.15 * floorMs, unit: 'ms' },
    ...(variants[0]!.growth === undefined
      ? []
      : [
          {
            what: `device memory after ${variants[0]!.samplesMs.length} updates in a row, less before`,
            measured: variants[0]!.growth.deviceBytes / 2 ** 20,
            atMost: GROWTH_MIB,
            unit: 'MiB',
          },
        ]),
    ...(kept === undefined
      ? []
      : [
          {
            what: "sender's time for each tensor over the Python tool's, group kept",
            measured:
              (update!.figures?.['sender us/tensor'] ?? Number.NaN) /
              (kept.figures?.['sender us/tensor'] ?? Number.NaN),
            atMost: 0.5,
            unit: 'x',
          },
          {
            what: 'faster than the Python tool, group kept',
            measured: median(kept.samplesMs) / ms,
            atLeast: 1.5,
            unit: 'x',
          },
        ]),
  ];
}

function titleOf(best: ResultRow, engines: number, python: readonly ResultRow[], sizeBytes: number): string {
  const ms = median(best.samplesMs);
  const updates = python.filter(({ what }) => what === 'update');
  const ratios = updates.map(({ by, samplesMs }) => `${(median(samplesMs) / ms).toFixed(2)} x as fast as the ${by}`);
  return (
    `${best.model} (${formatBytes(sizeBytes)}) reaches ${engines} ${engines === 1 ? 'engine' : 'engines'} in ` +
    `${ms.toFixed(0)} ms${ratios.length > 0 ? `: ${[...new Set(ratios)].join(', ')}` : ''}`
  );
}

function notesOf({ device, receiver, ranks }: UpdateScenarioOptions, variants: readonly VariantFigures[]): string[] {
  return [
    `Receivers: ${device === 'cuda' && receiver === 'python' ? 'the unmodified worker of the Python tool, one process a rank' : 'our worker, one process a rank'}`,
    'Before the last update of each kind every byte in the receivers was made wrong; #wrong was counted after it',
    ...(ranks > 1 ? ['Times are of the slowest rank'] : []),
    ...(variants.length > 1 && ranks > 1 ? ['Targets are those of the first update row'] : []),
  ];
}
