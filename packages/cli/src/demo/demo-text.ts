import { formatBytes } from '@checkpoint-engine/planner';
import { formatCount, formatDuration, formatRate, plural } from '../output/format.ts';
import type { Colors } from '../output/terminal.ts';
import { isEqual } from './compare-digests.ts';
import { type DemoOutcome, type DemoUpdate, isRight } from './demo-outcome.ts';

/** Number of wrong tensors to name per worker. */
const SHOWN = 3;
const NAMES = ['First update', 'Second update'];

/** Formats a finished step of the demo. */
export function stepText(colors: Colors, text: string, milliseconds: number): string {
  return `${colors.green('✓')} ${text} ${colors.dim(`· ${formatDuration(milliseconds)}`)}`;
}

/** Formats an update of the demo and the result of the comparison. */
export function demoUpdateText(update: DemoUpdate, index: number, colors: Colors): string {
  const { outcome, comparisons, inPlaceCount, compareMs } = update;
  const { totalBytes, bucketCount, bucketBytes, durationsMs, tensorCount } = outcome;
  const workers = plural(comparisons.length, 'worker');
  const mark = isRight(update) ? colors.green('✓') : colors.red('✗');
  const lines = [
    `${mark} ${NAMES[index] ?? 'Update'}: ${formatBytes(totalBytes)} into ${workers} in ${colors.bold(formatDuration(durationsMs.update))}, ${colors.bold(formatRate(totalBytes, durationsMs.update))} into each ${colors.dim(`· ${plural(bucketCount, 'bucket')} of at most ${formatBytes(bucketBytes)}`)}`,
  ];
  if (isRight(update)) {
    const same = inPlaceCount === undefined ? '' : ', each at its previous address';
    lines.push(
      `  ${formatCount(tensorCount)} tensors in ${workers}: SHA-256 equal to the files${same} ${colors.dim(`· ${formatDuration(compareMs)}`)}`,
    );
    return lines.join('\n');
  }
  for (const comparison of comparisons.filter((candidate) => !isEqual(candidate))) {
    const { worker, equalCount, different, missing, unexpected } = comparison;
    lines.push(
      `  ${colors.red(`worker ${worker}`)}: ${formatCount(equalCount)} of ${formatCount(tensorCount)} tensors are right`,
    );
    for (const [what, names] of Object.entries({ 'other bytes': different, missing, unexpected })) {
      if (names.length > 0)
        lines.push(
          `    ${what}: ${names.slice(0, SHOWN).join(', ')}${names.length > SHOWN ? ` and ${names.length - SHOWN} more` : ''}`,
        );
    }
  }
  if (inPlaceCount !== undefined && inPlaceCount < comparisons.length * tensorCount) {
    lines.push(
      `  ${colors.red('moved')}: ${formatCount(comparisons.length * tensorCount - inPlaceCount)} tensors are not at their previous addresses`,
    );
  }
  return lines.join('\n');
}

/** The last lines of the demo's output. */
export function verdictText({ ok, rankCount, tensorCount, totalBytes, updates }: DemoOutcome, colors: Colors): string {
  const workers = plural(rankCount, 'worker');
  if (!ok)
    return `\n${colors.red(colors.bold('The demo failed:'))} not every byte arrived. Please report this with the output of "checkpoint-engine doctor --json"`;
  const checked = formatBytes(totalBytes * rankCount * updates.length);
  return [
    '',
    `${colors.green(colors.bold('Every byte is right.'))} ${formatCount(tensorCount)} tensors in ${workers}, ${updates.length} updates, ${checked} compared.`,
    `Next: ${colors.bold('checkpoint-engine update --help')}`,
  ].join('\n');
}
