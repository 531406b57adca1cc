import { formatBytes } from '@checkpoint-engine/planner';
import { describeSettings, figures, formatMs, formatOptionalBytes, rateGBps, shareOfFloor } from './format.ts';
import type { BenchResult, MemoryHolder, ResultRow, Target } from './result.ts';
import { isMet } from './result.ts';
import { coefficientOfVariation, median, percentile } from './statistics.ts';

/** A table of strings, to be printed or written as Markdown or HTML. */
export interface View {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Whether the view is part of the shortest output. */
  readonly isBrief?: boolean;
}

/** All views of a result that are not empty, the most important one first. */
export function viewsOf(result: BenchResult): View[] {
  return [comparisonView(result), detailView(result), phaseView(result), memoryView(result), targetView(result)]
    .filter(({ rows }) => rows.length > 0)
    .map(withoutEmptyColumns);
}

function withoutEmptyColumns(view: View): View {
  const isUsed = view.head.map((_, column) => view.rows.some((row) => row[column] !== '-' && row[column] !== ''));
  const used = (cells: readonly string[]): string[] => cells.filter((_, column) => isUsed[column]);
  return { ...view, head: used(view.head), rows: view.rows.map(used) };
}

/** The columns of the Python tool's README, so that results compare line by line. */
function comparisonView({ rows, machine }: BenchResult): View {
  const updates = rows.filter(
    ({ what, sizeBytes }) => (what === 'update' || what === 'update p2p') && sizeBytes !== undefined,
  );
  const cell = (row: ResultRow | undefined): string =>
    row === undefined
      ? '-'
      : `${formatMs(median(row.samplesMs))}${row.bucketBytes === undefined ? '' : ` (${formatBytes(row.bucketBytes)})`}`;
  const sibling = (row: ResultRow, what: string): ResultRow | undefined =>
    rows.find(
      (other) =>
        other.what === what &&
        other.model === row.model &&
        other.ranks === row.ranks &&
        other.by.split(',')[0] === row.by.split(',')[0],
    );
  return {
    title: "Updates in the columns of the Python tool's README",
    head: ['Model', 'Device Info', 'By', 'GatherMetas', 'Update (Broadcast)', 'Update (P2P)'],
    rows: updates.map((row) => [
      row.model ?? '-',
      machine.device,
      [row.by, ...Object.entries(row.settings ?? {}).map(([name, value]) => `${name} ${value}`)].join(', '),
      cell(sibling(row, 'gather')),
      row.what === 'update' ? cell(row) : '-',
      row.what === 'update p2p' ? cell(row) : '-',
    ]),
  };
}

/** The model is named once if nearly all rows have the same model. */
function whatOf({ rows }: BenchResult): (row: ResultRow) => string {
  const main = rows.findLast(({ model }) => model !== undefined)?.model;
  return ({ what, model }) => (model === undefined || model === main ? what : `${what}, ${model}`);
}

function detailView(result: BenchResult): View {
  const what = whatOf(result);
  return {
    title: 'Measurements',
    isBrief: true,
    head: [
      'What',
      'By',
      'With',
      'p50',
      'p99',
      'cv',
      'GB/s',
      '% of floor',
      'Device memory',
      'Device memory, by the driver',
      '#wrong',
    ],
    rows: result.rows.map((row) => [
      what(row),
      row.by,
      describeSettings(row),
      formatMs(median(row.samplesMs)),
      row.samplesMs.length < 2 ? '-' : formatMs(percentile(row.samplesMs, 0.99)),
      row.samplesMs.length < 2 ? '-' : `${(coefficientOfVariation(row.samplesMs) * 100).toFixed(0)} %`,
      optional(rateGBps(row), figures),
      optional(shareOfFloor(row), (share) => `${(share * 100).toFixed(0)} %`),
      formatOptionalBytes(row.deviceBytes),
      formatOptionalBytes(row.driverBytes),
      row.checked === undefined ? '-' : `${row.wrong ?? 0} of ${row.checked}`,
    ]),
  };
}

function phaseView(result: BenchResult): View {
  const what = whatOf(result);
  return {
    title: 'Phases and further figures',
    head: ['What', 'By', 'With', 'Phases of the last repetition', 'Figures', 'Note'],
    rows: result.rows
      .filter(({ phasesMs, figures: more, note, hostBytes, wireBytes }) =>
        [phasesMs, more, note, hostBytes, wireBytes].some((value) => value !== undefined),
      )
      .map((row) => [
        what(row),
        row.by,
        describeSettings(row),
        entries(row.phasesMs, (ms) => formatMs(ms)),
        [
          entries(row.figures, figures),
          row.hostBytes === undefined ? '' : `host memory ${formatBytes(row.hostBytes)}`,
          row.wireBytes === undefined ? '' : `on the wire ${formatBytes(row.wireBytes)}`,
        ]
          .filter(Boolean)
          .join(', '),
        row.note ?? '',
      ]),
  };
}

function memoryView({ memory = [] }: BenchResult): View {
  const names = [...new Set(memory.flatMap(({ parts }) => Object.keys(parts)))];
  const sum = (of: (holder: MemoryHolder) => number): string =>
    formatBytes(memory.reduce((all, one) => all + of(one), 0));
  const rows = memory.map(({ who, sizeBytes, parts, unexplainedBytes }) => [
    who,
    formatBytes(sizeBytes),
    ...names.map((name) => formatOptionalBytes(parts[name])),
    formatBytes(unexplainedBytes),
  ]);
  const all = [
    'all',
    sum(({ sizeBytes }) => sizeBytes),
    ...names.map((name) => sum(({ parts }) => parts[name] ?? 0)),
    sum(({ unexplainedBytes }) => unexplainedBytes),
  ];
  return {
    title: 'Largest memory of each process',
    head: ['Process', 'At most', ...names, 'Unexplained'],
    rows: memory.length === 0 ? [] : [...rows, all],
  };
}

function targetView({ targets }: BenchResult): View {
  return {
    title: 'Targets',
    isBrief: true,
    head: ['Target', 'Measured', 'Wanted', ''],
    rows: targets.map((target) => [
      target.what,
      `${figures(target.measured)} ${target.unit}`,
      wanted(target),
      isMet(target) ? 'met' : 'MISSED',
    ]),
  };
}

const wanted = ({ atMost, atLeast, unit }: Target): string =>
  [atLeast !== undefined && `>= ${figures(atLeast)}`, atMost !== undefined && `<= ${figures(atMost)}`, unit]
    .filter(Boolean)
    .join(' ');

const optional = (value: number | undefined, show: (value: number) => string): string =>
  value === undefined ? '-' : show(value);

const entries = (record: Readonly<Record<string, number>> | undefined, show: (value: number) => string): string =>
  Object.entries(record ?? {})
    .map(([name, value]) => `${name} ${show(value)}`)
    .join(', ');
