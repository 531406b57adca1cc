import type { DeviceFloors } from '../floors/device-floors.ts';
import type { BenchResult, ResultRow, Target } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import type { EngineScenarioOptions } from './engine-options.ts';

/** Measurements with a real engine. */
export interface EngineFigures {
  readonly rows: readonly ResultRow[];
  readonly floors: DeviceFloors;
  readonly sizeBytes: number;
  readonly tensorCount: number;
}

/** The result of an engine scenario, with the Python tool's figures of the same run as the measure. */
export function engineResult(
  { checkpoints, modelName, ranks, updates }: EngineScenarioOptions,
  { rows, floors, sizeBytes, tensorCount }: EngineFigures,
): Omit<BenchResult, 'version'> {
  // All ranks copy their shares to their GPUs at the same time.
  const floorMs = sizeBytes / ranks / (floors.h2dTogetherGBps * 1e6);
  const medianOf = (by: string, what: string): number =>
    median(rows.find((row) => row.by.startsWith(by) && row.what.startsWith(what))?.samplesMs ?? []);
  const command = medianOf('checkpoint-engine', 'update, command, files read before');
  const serve = medianOf('checkpoint-engine', 'update, serve');
  const first = medianOf('Python', 'update, first');
  const later = medianOf('Python', 'update, later');
  const ratio = (what: string, ours: number, theirs: number, atMost: number): Target => ({
    what,
    measured: ours / theirs,
    atMost,
    unit: 'x',
  });
  const isPulled = rows.some(({ settings }) => settings?.receiver === true);
  const pulled: Target = {
    what: `serve through the receiver, within ${ranks === 1 ? 1.1 : 1.5} x the floor and 30 ms`,
    measured: isPulled ? serve : Number.NaN,
    atMost: floorMs * (ranks === 1 ? 1.1 : 1.5) + 30,
    unit: 'ms',
  };
  return {
    scenario: 'engine',
    title: titleOf(`${ranks} ${ranks === 1 ? 'GPU' : 'GPUs'}`, modelName, isPulled, { command, serve, first, later }),
    machine: floors.machine,
    options: { checkpoints: checkpoints.join(', '), ranks, updates },
    rows: [
      ...rows.map((row) => ({ ...row, floorMs })),
      { by: 'floor: host to device', what: 'all GPUs at once', ranks, sizeBytes, samplesMs: [floorMs] },
    ],
    targets: [
      ratio('command over the first update of the Python tool', command, first, 0.8),
      ratio('serve over later updates of the Python tool', serve, later, 0.6),
      pulled,
      ...verificationTargets(rows, ratio),
    ].filter(({ measured }) => Number.isFinite(measured)),
    notes: notesOf(rows, tensorCount),
  };
}

/** The cost of verification, if updates with and without it were measured. */
function verificationTargets(
  rows: readonly ResultRow[],
  ratio: (what: string, ours: number, theirs: number, atMost: number) => Target,
): Target[] {
  const medianWith = (mode: string): number =>
    median(rows.find(({ settings }) => settings?.args === `--verify ${mode}`)?.samplesMs ?? []);
  const off = medianWith('off');
  return [
    ratio('serve, sample over no verification', medianWith('sample'), off, 1.03),
    ratio('serve, full over no verification', medianWith('full'), off, 1.1),
  ];
}

/** Explains how the rows were measured. Omits ways that were not measured. */
function notesOf(rows: readonly ResultRow[], tensorCount: number): string[] {
  const has = (by: string, what: string): boolean =>
    rows.some((row) => row.by.startsWith(by) && row.what.startsWith(what));
  return [
    `The model has ${tensorCount.toLocaleString('en-US')} tensors. vLLM starts with random weights; digests of all parameters of all workers and greedy tokens are compared after each of our updates.`,
    has('checkpoint-engine', 'update, command') &&
      'Each sample of the command is a new process. Its time is that of the update alone, without process start and file reads.',
    has('checkpoint-engine', 'update, serve') && 'All updates of a `serve` row go through the same server process.',
    has('Python', 'update') &&
      'The Python tool creates its process group again for each update. Parameters and tokens are compared after the last update of each of its processes.',
  ].filter((note) => note !== false);
}

/** Describes the measurements that exist. */
function titleOf(
  gpus: string,
  modelName: string,
  isPulled: boolean,
  { command, serve, first, later }: Record<'command' | 'serve' | 'first' | 'later', number>,
): string {
  const part = (ms: number, how: string): string[] => (Number.isFinite(ms) ? [`${ms.toFixed(0)} ms ${how}`] : []);
  const ours = [...part(serve, 'with serve'), ...part(command, 'with the command')].join(', ');
  const theirs = [...part(later, 'with the Python tool'), ...part(first, 'the first time')].join(', ');
  const through = isPulled ? 'Through the receiver, a' : 'A';
  return `${through} real vLLM on ${gpus} takes ${modelName} in ${ours}${theirs === '' ? '' : `; ${theirs}`}`;
}
