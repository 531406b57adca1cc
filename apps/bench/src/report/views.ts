import { formatBytes } from '@checkpoint-engine/planner';
import { describeSettings, figures, formatMs, formatOptionalBytes, rateGBps, shareOfFloor } from './format.ts';
import type { BenchResult, ResultRow, Target } from './result.ts';
import { isMet } from './result.ts';
import { coefficientOfVariation, median, percentile } from './statistics.ts';

/** A table of strings, to be printed or written as Markdown or HTML. */
export interface View {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** All views of a result that have something to show, the most telling first. */
export function viewsOf(result: BenchResult): View[] {
  return [comparisonView(result), detailView(result), phaseView(result), targetView(result)].filter(
    ({ rows }) => rows.length > 0,
  );
}

/** The columns of the Python tool's README, so that results compare line by line. */
function comparisonView({ rows, machine }: BenchResult): View {
  const updates = rows.filter(({ what }) => what === 'update' || what === 'update p2p');
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
    title: "As the Python tool's README has it",
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

function detailView({ rows }: BenchResult): View {
  return {
    title: 'What was measured',
    head: ['What', 'By', 'With', 'p50', 'p99', 'cv', 'GB/s', '% of floor', 'Device memory', 'Driver says', '#wrong'],
    rows: rows.map((row) => [
      row.model === undefined ? row.what : `${row.what}, ${row.model}`,
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

function phaseView({ rows }: BenchResult): View {
  return {
    title: 'Where the time went, and further figures',
    head: ['What', 'By', 'With', 'Phases of the last one', 'Figures', 'Note'],
    rows: rows
      .filter(({ phasesMs, figures: more, note, hostBytes, wireBytes }) =>
        [phasesMs, more, note, hostBytes, wireBytes].some((value) => value !== undefined),
      )
      .map((row) => [
        row.model === undefined ? row.what : `${row.what}, ${row.model}`,
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

function targetView({ targets }: BenchResult): View {
  return {
    title: 'Targets',
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
