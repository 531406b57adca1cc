import { formatMs } from '../report/format.ts';
import type { BenchResult, ResultRow } from '../report/result.ts';
import { median } from '../report/statistics.ts';

const OURS = 'checkpoint-engine';
const SHIPPED = 'Python tool, as shipped';
const KEPT = 'Python tool, group kept';

const START = '<!-- measured: written by npm run results -w apps/bench -->';
const END = '<!-- /measured -->';

/**
 * The README's table: of each kind of update and registration that was measured beside the Python tool, the newest run.
 * `undefined` where there is none.
 */
export function measuredTable(results: readonly BenchResult[]): string | undefined {
  const newest = results.toSorted((a, b) => b.machine.date.localeCompare(a.machine.date));
  const rows = new Map<string, string>();
  for (const result of newest) {
    for (const [key, line] of linesOf(result)) if (!rows.has(key)) rows.set(key, line);
  }
  if (rows.size === 0) return undefined;
  const head = ['| what | on | checkpoint-engine | Python tool | floor |', '| --- | --- | --- | --- | --- |'];
  return [...head, ...[...rows.entries()].toSorted().map(([, line]) => line)].join('\n');
}

/** Writes the table between the README's marks; the text as it is where there are no marks or no table. */
export function withMeasuredTable(readme: string, table: string | undefined): string {
  const [start, end] = [readme.indexOf(START), readme.indexOf(END)];
  if (table === undefined || start < 0 || end < start) return readme;
  return `${readme.slice(0, start + START.length)}\n\n${table}\n\n${readme.slice(end)}`;
}

/** A line for each thing that both did, by a key that tells it from others. */
function linesOf({ rows, machine }: BenchResult): [string, string][] {
  return rows.flatMap((ours): [string, string][] => {
    const { by, what, model = '', ranks = 1, floorMs } = ours;
    if (by !== OURS || (what !== 'update' && what !== 'register')) return [];
    const theirs = [SHIPPED, KEPT].flatMap((name) => {
      const row = rows.find(
        (one) => one.by === name && one.what === what && one.model === model && one.ranks === ours.ranks,
      );
      return row === undefined
        ? []
        : [`${formatMs(median(row.samplesMs))} ${name.split(', ')[1]}, ${ratio(row, ours)}`];
    });
    if (theirs.length === 0) return [];
    const cells = [
      `${what} of ${model}`,
      machine.device.replace(/^(?!\d+ x)/, '1 x '),
      formatMs(median(ours.samplesMs)),
      theirs.join('; '),
      floorMs === undefined ? '-' : formatMs(floorMs),
    ];
    return [[`${ranks} ${what} ${model}`, `| ${cells.join(' | ')} |`]];
  });
}

const ratio = (theirs: ResultRow, ours: ResultRow): string =>
  `${(median(theirs.samplesMs) / median(ours.samplesMs)).toFixed(2)} x`;
