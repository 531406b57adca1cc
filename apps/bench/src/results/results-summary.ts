import { figures, formatMs } from '../report/format.ts';
import { type BenchResult, isMet, type ResultRow, type Target, wrongCount } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import { type KeptResult, line } from './results-markdown.ts';

const OURS = 'checkpoint-engine';
const PEER = 'Python tool, as shipped';
/** The date at the start of a file name. What follows it names scenario and machine. */
const DATE = /^\d{4}-\d{2}-\d{2}-/;

const INTRODUCTION = `# Results

\`npm run results -w apps/bench\` writes this page and the linked pages from the JSON files in [results](results). Each row is
the newest run of one scenario on one machine; the linked page has every figure and the commit. [Notes](results/notes.md) have
what tables do not show.

- **Median** is the median of all counted repetitions, in milliseconds or seconds.
- **Floor** is the least time that the hardware allows, measured in the same run: for example the copy from pinned host
  memory to every GPU.
- **Python tool** is Moonshot AI's \`checkpoint-engine\` as published, in the same run on the same machine.
- **Wrong** counts tensors that differ from the checkpoint, out of all compared tensors; for a real engine, updates after which
  its parameters or tokens differ.
- Compare figures of one row. Machines differ from run to run, so the milliseconds of two rows do not compare.
`;

/**
 * RESULTS.md: one row per scenario and machine.
 *
 * @param reasons Why targets are missed, by file name without date.
 */
export function resultsSummary(results: readonly KeptResult[], reasons: Readonly<Record<string, string>>): string {
  const newest = new Map<string, KeptResult>();
  for (const kept of results.toSorted((a, b) => a.name.localeCompare(b.name))) {
    newest.set(kept.name.replace(DATE, ''), kept);
  }
  const rows = [...newest].map(([slug, kept]) => summaryRow(slug, kept, reasons[slug]));
  const head = ['Scenario', 'Machine', 'Date', 'Median', 'Floor', 'Python tool', 'Wrong', 'Targets'];
  return `${[INTRODUCTION, [line(head), line(head.map(() => '---')), ...rows.toSorted()].join('\n')].join('\n')}\n`;
}

function summaryRow(slug: string, { name, result }: KeptResult, reason: string | undefined): string {
  const main = mainRow(result);
  const peer = peerRow(result.rows, main);
  const checked = result.rows.reduce((sum, row) => sum + (row.checked ?? 0), 0);
  const ranks = main?.ranks === undefined ? undefined : `${main.ranks} ${main.ranks === 1 ? 'rank' : 'ranks'}`;
  const what = [result.scenario, main?.model, ranks].filter(Boolean).join(', ');
  return line([
    `${what}: [${slug}](results/pages/${name}.md)`,
    result.machine.device,
    result.machine.date.slice(0, 10),
    timeOf(main),
    main?.floorMs === undefined ? '-' : formatMs(main.floorMs),
    timeOf(peer),
    checked === 0 ? '-' : `${wrongCount(result)} of ${checked}`,
    targetsOf(result.targets, reason),
  ]);
}

/**
 * The row that a result is about: our fastest of those that move the most bytes, and of the kind that is named like the
 * scenario where there is one. An update of one small tensor, for example, is only a baseline.
 */
function mainRow({ scenario, rows }: BenchResult): ResultRow | undefined {
  const ours = rows.filter(({ by, samplesMs }) => by === OURS && samplesMs.length > 0);
  const kind = [scenario, 'update'].find((name) => ours.some(({ what }) => what === name));
  const named = kind === undefined ? ours : ours.filter(({ what }) => what === kind);
  const mostBytes = Math.max(...named.map(({ sizeBytes = 0 }) => sizeBytes));
  return named
    .filter(({ sizeBytes = 0 }) => sizeBytes === mostBytes)
    .toSorted((x, y) => median(x.samplesMs) - median(y.samplesMs))[0];
}

/** The Python tool's row for the same; of several ways to update an engine, its fastest. */
function peerRow(rows: readonly ResultRow[], main: ResultRow | undefined): ResultRow | undefined {
  const theirs = rows.filter(
    ({ by, model, samplesMs }) => by === PEER && model === main?.model && samplesMs.length > 0,
  );
  const isUpdate = main?.what.startsWith('update, ') === true;
  return (
    theirs.find(({ what }) => what === main?.what) ??
    theirs
      .filter(({ what }) => isUpdate && what.startsWith('update, '))
      .toSorted((x, y) => median(x.samplesMs) - median(y.samplesMs))[0]
  );
}

const timeOf = (row: ResultRow | undefined): string => (row === undefined ? '-' : formatMs(median(row.samplesMs)));

function targetsOf(targets: readonly Target[], reason: string | undefined): string {
  const judged = targets.filter(({ what }) => !targets.some((other) => other.what === `${what} + fixed time`));
  const missed = judged.filter((target) => !isMet(target));
  if (judged.length === 0) return '-';
  if (missed.length === 0) return `met (${judged.length})`;
  const names = missed.map((target) => `${target.what} (${figures(target.measured)} ${target.unit})`).join(', ');
  return `missed ${missed.length} of ${judged.length}: ${names}${reason === undefined ? '' : `. ${reason}`}`;
}
