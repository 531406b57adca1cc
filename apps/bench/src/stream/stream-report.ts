import process from 'node:process';
import { formatBytes } from '@checkpoint-engine/planner';
import type { ProgressEvent, UpdateResult } from '@checkpoint-engine/ps';
import type { MachineDescription } from '../report/machine.ts';
import { overlapOf } from '../report/overlap.ts';
import { median } from '../report/statistics.ts';
import { printTable } from '../report/table.ts';
import type { PythonToolFigures } from '../update/python-tool.ts';

/** One run in new processes: the first update of the slowest rank. */
export interface StreamRun {
  readonly registerMs: number;
  readonly gatherMs: number;
  readonly updateMs: number;
  /** From the creation of the device to the worker's last acknowledgement. */
  readonly firstAckMs: number;
  readonly peakRssBytes: number;
  readonly result: UpdateResult;
  /** The events of rank 0. */
  readonly events: readonly ProgressEvent[];
}

/** The JSON output of `bench stream`. */
export interface StreamReport {
  readonly version: 1;
  readonly scenario: 'stream';
  readonly machine: MachineDescription;
  readonly device: 'cuda' | 'host';
  readonly cold: boolean;
  readonly ranks: number;
  readonly fileCount: number;
  readonly sizeBytes: number;
  readonly hostMemoryBytes: number;
  readonly readFloorMs: number;
  readonly h2dFloorMs: number;
  readonly workerFixedMs: number;
  readonly streamed: readonly StreamRun[];
  readonly pooled: readonly StreamRun[];
  /** Tensors that differ from the files. */
  readonly wrong: number;
  readonly pythonTool: PythonToolFigures | undefined;
}

const ALLOWED_OVER_FLOOR = 1.3;
const ALLOWED_FIXED_MS = 200;

/** Prints the figures and their floors. */
export function printReport(report: StreamReport): void {
  const { machine, streamed, pooled, pythonTool, readFloorMs, h2dFloorMs, workerFixedMs } = report;
  const ack = (runs: readonly StreamRun[]): number => median(runs.map(({ firstAckMs }) => firstAckMs));
  const streamMs = ack(streamed);
  const allowedMs = ALLOWED_OVER_FLOOR * Math.max(readFloorMs, h2dFloorMs) + workerFixedMs + ALLOWED_FIXED_MS;
  const last = streamed.at(-1)!;
  const peakBytes = Math.max(...streamed.map(({ peakRssBytes }) => peakRssBytes));
  const ringBytes = Math.min(report.hostMemoryBytes, report.sizeBytes / report.ranks);
  const rows: string[][] = [
    [
      'bytes',
      `${formatBytes(report.sizeBytes)} in ${report.fileCount} files, ${report.cold ? 'cold' : 'warm'}`,
      `${report.ranks} ranks`,
    ],
    ['read floor', milliseconds(readFloorMs), rate(report.sizeBytes, readFloorMs)],
    ['H2D floor', milliseconds(h2dFloorMs), rate(report.sizeBytes, h2dFloorMs)],
    ["worker's fixed time", milliseconds(workerFixedMs), 'update of one small tensor, median'],
    [
      'streamed: device to last acknowledgement',
      each(streamed, ({ firstAckMs }) => firstAckMs),
      `median ${milliseconds(streamMs)}; 1.3 x floor + fixed + 200 ms = ${milliseconds(allowedMs)}`,
    ],
    ['streamed: parts', parts(last), 'in the last round'],
    ['streamed: stages', stages(last), 'rank 0, last round'],
    [
      'streamed: host memory',
      `peak ${formatBytes(peakBytes)}`,
      `${formatBytes(Math.round(peakBytes - ringBytes))} in addition to the ring of ${formatBytes(Math.round(ringBytes))}`,
    ],
  ];
  if (pooled.length > 0) {
    rows.push(
      [
        'pool: the same',
        each(pooled, ({ firstAckMs }) => firstAckMs),
        `median ${milliseconds(ack(pooled))}: ${times(ack(pooled), streamMs)}`,
      ],
      ['pool: parts', parts(pooled.at(-1)!), `peak ${formatBytes(Math.max(...pooled.map((run) => run.peakRssBytes)))}`],
    );
  }
  if (pythonTool !== undefined) {
    const [register, update] = [pythonTool.register_s[0]! * 1e3, pythonTool.buckets[0]!.update_s[0]! * 1e3];
    const gather = pythonTool.gather_s * 1e3;
    rows.push([
      'Python tool: the same',
      `register ${milliseconds(register)}, gather ${milliseconds(gather)}, update ${milliseconds(update)}`,
      `${milliseconds(register + gather + update)}: ${times(register + gather + update, streamMs)}`,
    ]);
  }
  rows.push(['#wrong', String(report.wrong), 'tensors that differ from the files']);
  process.stdout.write(`${machine.device}, driver ${machine.driver ?? '?'}, ${machine.runtime}\n`);
  printTable(['what', 'measured', 'beside'], rows);
}

function parts({ registerMs, gatherMs, updateMs, result }: StreamRun): string {
  const phases = Object.entries(result.durationsMs).filter(([name]) => name !== 'total');
  const inside = phases.map(([name, ms]) => `${name} ${ms.toFixed(0)}`).join(', ');
  return `register ${milliseconds(registerMs)}, gather ${milliseconds(gatherMs)}, update ${milliseconds(updateMs)} (${inside})`;
}

function stages({ events }: StreamRun): string {
  const { spanMs, busyMs, atLeastMs } = overlapOf(events);
  const share = (ms: number): string => `${((100 * ms) / spanMs).toFixed(0)} %`;
  const busy = Object.entries(busyMs).map(([stage, ms]) => `${stage} ${share(ms)}`);
  return `busy: ${busy.join(', ')}; at once: two ${share(atLeastMs[2]!)}, three ${share(atLeastMs[3]!)}, four ${share(atLeastMs[4]!)}`;
}

const milliseconds = (ms: number): string => `${ms.toFixed(0)} ms`;
const each = (runs: readonly StreamRun[], of: (run: StreamRun) => number): string =>
  runs.map((run) => milliseconds(of(run))).join(', ');
const rate = (bytes: number, ms: number): string => `${(bytes / ms / 1e6).toFixed(1)} GB/s`;
const times = (theirs: number, ours: number): string => `${(theirs / ours).toFixed(2)} x streamed`;
