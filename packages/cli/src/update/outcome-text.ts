import { dirname } from 'node:path';
import { moduleReportText } from '@checkpoint-engine/interface';
import { formatBytes } from '@checkpoint-engine/planner';
import { formatDuration, formatRate, plural } from '../output/format.ts';
import type { Colors } from '../output/terminal.ts';
import type { UpdateOutcome } from './update-outcome.ts';

/** Formats the outcome of an update for users. */
export function outcomeText(outcome: UpdateOutcome, colors: Colors): string {
  const { checkpoint, worldSize, device, totalBytes, tensorCount, bucketCount, bucketBytes, deviceBytes, durationsMs } =
    outcome;
  const { register, gatherMetas, update, plan, handshake, stream, release, hook } = durationsMs;
  const took = (parts: Readonly<Record<string, number>>): string =>
    Object.entries(parts)
      .map(([name, milliseconds]) => `${name} ${formatDuration(milliseconds)}`)
      .join(colors.dim(' · '));
  const rows: [string, string][] = [
    ['weights', `${plural(tensorCount, 'tensor')}, ${formatBytes(totalBytes)}`],
    ['before', took({ register, 'gather metas': gatherMetas })],
    ['update', `${colors.bold(formatDuration(update))} at ${colors.bold(formatRate(totalBytes, update))}`],
    ['', took({ plan, handshake, stream, release, 'post-load hook': hook })],
    ['method', methodText(outcome)],
    ...modulesRows(outcome),
    [
      'memory',
      bucketCount === 0
        ? 'no bucket, no device memory'
        : `${plural(bucketCount, 'bucket')} of at most ${formatBytes(bucketBytes)}; ${formatBytes(deviceBytes)} of device memory per rank`,
    ],
  ];
  if (outcome.removedFiles.length > 0) rows.push(['removed', removedText(outcome.removedFiles)]);
  return [
    `${colors.green('✓')} ${colors.bold(checkpoint)} is live on ${plural(worldSize, `${device} rank`)}`,
    ...rows.map(([name, text]) => `  ${colors.dim(name.padEnd(9))}${text}`),
    ...outcome.warnings.map((text) => `  ${colors.yellow('!')} ${text}`),
  ].join('\n');
}

/** Names the removed files, by their folder if they share one, and the flag that keeps them. */
function removedText(files: readonly string[]): string {
  const folders = [...new Set(files.map((path) => dirname(path)))];
  const where = folders.length === 1 && files.length > 1 ? `of ${folders[0]}` : files.join(', ');
  return `${plural(files.length, 'file')} that ${files.length === 1 ? 'was' : 'were'} used in place: ${where} (--keep-files keeps them)`;
}

/** How the bytes came: with a pull, those that ranks keep against those of the checkpoint; otherwise why there was none. */
function methodText({ ranks, totalBytes, strategy, strategyReason }: UpdateOutcome): string {
  if (strategy === 'buckets') return `buckets: ${strategyReason}`;
  const needed = ranks.map(({ neededBytes }) => neededBytes);
  const pulled = ranks.map(({ pulledBytes }) => pulledBytes);
  const span = (bytes: readonly number[]): string => {
    const [least, most] = [Math.min(...bytes), Math.max(...bytes)];
    return least === most ? formatBytes(least) : `${formatBytes(least)} to ${formatBytes(most)}`;
  };
  return `pull: ${span(pulled)} copied by a worker, which keeps ${span(needed)} of ${formatBytes(totalBytes)}`;
}

/** What was decided for the modules of the workers: once where it is the same for all. */
function modulesRows({ ranks }: UpdateOutcome): [string, string][] {
  const byText = new Map<string, number[]>();
  for (const { rank, modules } of ranks) {
    if (modules === undefined) continue;
    const text = moduleReportText(modules);
    byText.set(text, [...(byText.get(text) ?? []), rank]);
  }
  const isOne = byText.size === 1;
  return [...byText].map(([text, of], at) => [
    at === 0 ? 'modules' : '',
    isOne ? text : `${plural(of.length, 'rank')} (${of.join(', ')}): ${text}`,
  ]);
}
