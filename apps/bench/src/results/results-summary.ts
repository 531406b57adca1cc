import { figures, formatMs } from '../report/format.ts';
import { type BenchResult, isMet, type ResultRow, type Target, wrongCount } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import { type KeptResult, line } from './results-markdown.ts';

const OURS = 'checkpoint-engine';
const PEER = 'Python tool, as shipped';
/** The defaults of users. */
const DEFAULT_ARGS: readonly unknown[] = [undefined, '', '--verify sample'];

const INTRODUCTION = `# Results

\`npm run results -w apps/bench\` writes this page and the linked pages from the JSON files in [results](results). There is one
row per scenario and machine; the linked page has every figure, the other ways that were measured, and the commit.
[Notes](results/notes.md) have what tables do not show. Questions with the answer yes or no are tests: \`npm run test:stress\`.

- **Median** is the median of all counted repetitions, in milliseconds or seconds.
- **Floor** is the least time that the hardware allows, measured in the same run: for example the copy from pinned host
  memory to every GPU.
- **Python tool** is Moonshot AI's \`checkpoint-engine\` as published, in the same run on the same machine.
- **Wrong** counts tensors that differ from the checkpoint, out of all compared tensors; for a real engine, updates after which
  its parameters or tokens differ.
- **engine** rows update a real vLLM with \`checkpoint-engine serve\`, later updates of both tools; **update** rows update a worker
  without an engine.
- Compare figures of one row. Machines differ from run to run, so the milliseconds of two rows do not compare.
`;

/** Remarks on results, by file name without date and extension. */
export interface Remarks {
  /** Why targets are missed. */
  readonly missed: Readonly<Record<string, string>>;
  /** Updates that the check counted as wrong because they changed nothing, with the reason. */
  readonly unjudged: Readonly<Record<string, { readonly updates: number; readonly why: string }>>;
}

/**
 * RESULTS.md: one row per scenario and machine.
 *
 * @throws {RangeError} Two results have the same scenario and machine: the older one must be deleted.
 */
export function resultsSummary(results: readonly KeptResult[], remarks: Remarks): string {
  const files = new Map<string, string>();
  const rows = results.map((kept) => {
    const what = `${scenarioOf(kept.result)}, ${machineOf(kept.result)}`;
    const other = files.get(what);
    if (other !== undefined) throw new RangeError(`${other} and ${kept.name} are both "${what}": delete the older one`);
    files.set(what, kept.name);
    return summaryRow(kept, remarks);
  });
  const head = ['Scenario', 'Machine', 'Date', 'Median', 'Floor', 'Python tool', 'Wrong', 'Targets'];
  return `${[INTRODUCTION, [line(head), line(head.map(() => '---')), ...rows.toSorted()].join('\n')].join('\n')}\n`;
}

function summaryRow({ name, slug, result, unjudged }: KeptResult, { missed }: Remarks): string {
  const main = mainRow(result);
  const checked = result.rows.reduce((sum, row) => sum + (row.checked ?? 0), 0);
  const judged = `${wrongCount(result) - (unjudged?.updates ?? 0)} of ${checked - (unjudged?.updates ?? 0)}`;
  return line([
    `${scenarioOf(result)}: [${slug}](results/pages/${name}.md)`,
    machineOf(result),
    result.machine.date.slice(0, 10),
    timeOf(main),
    main?.floorMs === undefined ? '-' : formatMs(main.floorMs),
    timeOf(peerRow(result.rows, main)),
    checked === 0 ? '-' : unjudged === undefined ? judged : `${judged}; ${unjudged.why}`,
    targetsOf(result.targets, missed[slug]),
  ]);
}

/** The device, and the processor cores: the engine's loader and our ranks run on them. */
const machineOf = ({ machine }: BenchResult): string => `${machine.device}, ${machine.cores} cores`;

/** The operation, the model and the number of ranks. */
function scenarioOf(result: BenchResult): string {
  const main = mainRow(result);
  const { receiver, 'receiving ranks': receiving } = main?.settings ?? {};
  return [
    result.scenario,
    result.scenario === 'engine' && (receiver === true ? 'through the receiver' : 'unmodified worker'),
    main?.model,
    main?.ranks !== undefined && `${main.ranks} ${main.ranks === 1 ? 'rank' : 'ranks'}`,
    receiving !== undefined && `received by rank ${receiving}`,
  ]
    .filter(Boolean)
    .join(', ');
}

/**
 * The row that a result is about: our fastest of those that move the most bytes, and of the kind that is named like the
 * scenario if there is one. An update of one small tensor, for example, is only a baseline. For an engine it is `serve`
 * as users get it without arguments.
 */
function mainRow({ scenario, rows }: BenchResult): ResultRow | undefined {
  const ours = rows.filter(({ by, samplesMs }) => by === OURS && samplesMs.length > 0);
  const kind = [scenario, 'update', 'update, serve'].find((name) => ours.some(({ what }) => what === name));
  const named = kind === undefined ? ours : ours.filter(({ what }) => what === kind);
  const maxBytes = Math.max(...named.map(({ sizeBytes = 0 }) => sizeBytes));
  const largest = named.filter(({ sizeBytes = 0 }) => sizeBytes === maxBytes);
  const byDefault = largest.filter(({ settings }) => DEFAULT_ARGS.includes(settings?.args));
  return (byDefault.length > 0 ? byDefault : largest).toSorted((x, y) => median(x.samplesMs) - median(y.samplesMs))[0];
}

/** The Python tool's row for the same. For an engine, its later updates. */
function peerRow(rows: readonly ResultRow[], main: ResultRow | undefined): ResultRow | undefined {
  const what = main?.what === 'update, serve' ? 'update, later' : main?.what;
  return rows.find(
    (row) => row.by === PEER && row.model === main?.model && row.what === what && row.samplesMs.length > 0,
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
