import { type BenchResult, wrongCount } from '../report/result.ts';
import { type View, viewsOf } from '../report/views.ts';

/** A result and the file that holds it. */
export interface KeptResult {
  /** File name without folder and extension: `2026-11-26-4xh200-multi-4`. */
  readonly name: string;
  /** The name without its date: scenario and machine. */
  readonly slug: string;
  readonly result: BenchResult;
  /** Updates that the check of this run counted as wrong because they changed nothing. */
  readonly unjudged?: { readonly updates: number; readonly why: string } | undefined;
}

/** The page of one result: where and how it was measured, and every table. */
export function detailPage({ name, result, unjudged }: KeptResult): string {
  const { machine, notes = [], title, scenario } = result;
  const where = [
    machine.date.slice(0, 10),
    machine.device,
    machine.driver && `driver ${machine.driver}`,
    machine.nccl && `NCCL ${machine.nccl}`,
    `${machine.cores} cores`,
    machine.runtime,
    machine.commit && `commit ${machine.commit}`,
    `\`bench ${scenario}\``,
    `[JSON](../${name}.json)`,
  ];
  const wrong = wrongCount(result) - (unjudged?.updates ?? 0);
  const parts = [
    `# ${escapeMarkdown(title)}`,
    where.filter(Boolean).join(' · '),
    ...(wrong > 0 ? [`**${wrong} WRONG**`] : []),
    ...(unjudged === undefined ? [] : [`Nothing is wrong: ${unjudged.why}.`]),
    ...viewsOf(result).map(tableOf),
    ...(notes.length > 0 ? [notes.map((note) => `- ${escapeMarkdown(note)}`).join('\n')] : []),
  ];
  return `${parts.map((part) => part.trim()).join('\n\n')}\n`;
}

function tableOf({ title, head, rows }: View): string {
  return [`## ${title}`, '', line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** One line of a Markdown table. */
export const line = (cells: readonly string[]): string => `| ${cells.map(escapeMarkdown).join(' | ')} |`;

const escapeMarkdown = (text: string): string =>
  text === '---' ? text : text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ');
