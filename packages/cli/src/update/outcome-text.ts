import { dirname } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { moduleReportText } from '@checkpoint-engine/interface';
import { formatBytes } from '@checkpoint-engine/planner';
import { formatDuration, formatRate, plural } from '../output/format.ts';
import type { Colors } from '../output/terminal.ts';
import type { UpdateOutcome } from './update-outcome.ts';

const NAME_COLUMNS = 9;
const INDENT = '  ';

/**
 * Formats a completed update for users: what is live, its rate, and where the time went.
 *
 * @param columns Longer lines are wrapped between their parts. @default lines are not wrapped
 */
export function outcomeText(
  outcome: UpdateOutcome,
  colors: Colors,
  columns: number = Number.POSITIVE_INFINITY,
): string {
  const { checkpoint, worldSize, device, totalBytes, tensorCount, durationsMs } = outcome;
  const { register, gatherMetas, update, engine, plan, handshake, stream, release, hook } = durationsMs;
  const phases = { plan, handshake, stream, release, 'post-load hook': hook };
  const rows: [string, readonly string[]][] = [
    ['weights', [plural(tensorCount, 'tensor'), formatBytes(totalBytes)]],
    ['version', [versionText(outcome)]],
    [
      'update',
      [
        colors.bold(formatDuration(update)),
        `${colors.bold(formatRate(totalBytes, update))} of the checkpoint`,
        ...(engine > 0 ? [`the engine paused for ${formatDuration(engine)}`] : []),
      ],
    ],
    ['of which', sharesOf(phases, update, colors)],
    ['before', [`register ${formatDuration(register)}`, `gather metas ${formatDuration(gatherMetas)}`]],
    ['method', methodText(outcome)],
    ...modulesRows(outcome),
    ['memory', memoryText(outcome)],
  ];
  if (outcome.removedFiles.length > 0) rows.push(['removed', [removedText(outcome.removedFiles)]]);
  const lines = [
    `${colors.green('✓')} ${colors.bold(checkpoint)} is live on ${plural(worldSize, `${device} rank`)}`,
    ...rows.map(([name, parts]) => `${INDENT}${colors.dim(name.padEnd(NAME_COLUMNS))}${joined(parts, columns)}`),
    ...outcome.warnings.map((text) => `${INDENT}${colors.yellow('!')} ${text}`),
  ];
  return lines.join('\n');
}

/**
 * Parts with commas between them. A part that does not fit begins a new line; one longer than a line breaks at spaces.
 */
function joined(parts: readonly string[], columns: number): string {
  const room = columns - INDENT.length - NAME_COLUMNS;
  const widthOf = (text: string): number => stripVTControlCharacters(text).length;
  const lines: string[] = [];
  const pieces = parts
    .map((part, index) => (index < parts.length - 1 ? `${part},` : part))
    .flatMap((part) => (widthOf(part) > room ? part.split(' ') : [part]));
  for (const text of pieces) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(`${last} ${text}`) <= room) {
      lines[lines.length - 1] = `${last} ${text}`;
    } else lines.push(text);
  }
  return lines.join(`\n${' '.repeat(INDENT.length + NAME_COLUMNS)}`);
}

/** The duration of each phase, and its share of the update if it is at least 5 %. The longest one is highlighted. */
function sharesOf(phases: Readonly<Record<string, number>>, updateMs: number, colors: Colors): string[] {
  const longest = Math.max(...Object.values(phases));
  return Object.entries(phases).map(([name, milliseconds]) => {
    const percent = updateMs > 0 ? Math.round((100 * milliseconds) / updateMs) : 0;
    const text = `${name} ${formatDuration(milliseconds)}${percent >= 5 ? ` (${percent} %)` : ''}`;
    return milliseconds === longest ? colors.bold(text) : text;
  });
}

function memoryText({ bucketCount, bucketBytes, deviceBytes, device }: UpdateOutcome): string[] {
  if (bucketCount === 0) return ['no buckets', `no ${device === 'cuda' ? 'device ' : ''}memory for the update`];
  const memory = device === 'cuda' ? 'device memory' : 'memory';
  return [
    `${plural(bucketCount, 'bucket')} of at most ${formatBytes(bucketBytes)}`,
    `${formatBytes(deviceBytes)} of ${memory} per rank`,
  ];
}

/** The new version, and the previous one. */
function versionText({ weightVersion, instances }: UpdateOutcome): string {
  const before = [...new Set(instances.map(({ weightVersionBefore }) => weightVersionBefore))];
  return before.length === 0 ? weightVersion : `${weightVersion} (before: ${before.join(', ')})`;
}

/** Lists the removed files, by their folder if they share one, and the flag that keeps them. */
function removedText(files: readonly string[]): string {
  const folders = [...new Set(files.map((path) => dirname(path)))];
  const where = folders.length === 1 && files.length > 1 ? `of ${folders[0]}` : files.join(', ');
  return `${plural(files.length, 'file')} that ${files.length === 1 ? 'was' : 'were'} used in place: ${where} (--keep-files keeps them)`;
}

/** The method: for a pull, the bytes that ranks keep and those of the checkpoint; for buckets, the reason. */
function methodText({ ranks, totalBytes, method, methodReason }: UpdateOutcome): string[] {
  if (method === 'buckets') return [`buckets: ${methodReason}`];
  const needed = ranks.map(({ neededBytes }) => neededBytes);
  const pulled = ranks.map(({ pulledBytes }) => pulledBytes);
  const span = (bytes: readonly number[]): string => {
    const [least, most] = [Math.min(...bytes), Math.max(...bytes)];
    return least === most ? formatBytes(least) : `${formatBytes(least)} to ${formatBytes(most)}`;
  };
  return [`pull: each worker keeps ${span(needed)} of ${formatBytes(totalBytes)}`, `and copies ${span(pulled)} itself`];
}

/** How workers receive their modules: one line if it is the same for all workers. */
function modulesRows({ ranks }: UpdateOutcome): [string, readonly string[]][] {
  const byText = new Map<string, number[]>();
  for (const { rank, modules } of ranks) {
    if (modules === undefined) continue;
    const text = moduleReportText(modules);
    byText.set(text, [...(byText.get(text) ?? []), rank]);
  }
  const isOne = byText.size === 1;
  return [...byText].map(([text, of], at) => [
    at === 0 ? 'modules' : '',
    [isOne ? text : `${plural(of.length, 'rank')} (${of.join(', ')}): ${text}`],
  ]);
}
