import { formatBytes } from '@checkpoint-engine/planner';
import { formatCount, plural } from '../output/format.ts';
import { printable } from '../output/printable.ts';
import { renderTable } from '../output/table.ts';
import type { Colors } from '../output/terminal.ts';
import { needsText } from './needs-text.ts';
import type { PlannedUpdate } from './plan-update.ts';

/** Formats a planned update for users. */
export function planText(
  { path, worldSize, deviceKind, freeBytes, sizing, summary, needs, warnings }: PlannedUpdate,
  colors: Colors,
): string {
  const { totalBytes, tensorCount, bucketCount, bucketSizes, alignmentBytes, imbalance, owners } = summary;
  const facts: [string, string][] = [
    ['checkpoint', `${plural(tensorCount, 'tensor')}, ${formatBytes(totalBytes)}`],
    [
      'buckets',
      `${formatCount(bucketCount)} of at most ${formatBytes(sizing.bucketBytes)} (smallest ${formatBytes(bucketSizes.minBytes)}, median ${formatBytes(bucketSizes.medianBytes)})`,
    ],
    ['device memory', `${formatBytes(sizing.deviceBytes)} per rank, of ${formatBytes(freeBytes)} free`],
    ['slots', sizing.reason],
    ['alignment', `${formatBytes(alignmentBytes)} of padding sent with the tensors`],
    ['balance', `the rank with the most bytes has ${imbalance.toFixed(3)} times the mean`],
  ];
  const lines = [
    `${colors.bold(printable(path))} on ${plural(worldSize, `${deviceKind} rank`)}`,
    '',
    ...facts.map(([name, text]) => `  ${colors.dim(name.padEnd(14))}${text}`),
    '',
    renderTable(
      [
        { head: 'rank', align: 'right' },
        { head: 'tensors', align: 'right' },
        { head: 'size', align: 'right' },
        { head: 'buckets', align: 'right' },
      ],
      owners.map((owner) => [
        String(owner.rank),
        formatCount(owner.tensorCount),
        formatBytes(owner.sizeBytes),
        formatCount(owner.bucketCount),
      ]),
    ),
    ...(needs === undefined ? [] : ['', needsText(needs, colors)]),
    ...warnings.map((text) => `\n  ${colors.yellow('!')} ${text}`),
  ];
  return lines.join('\n');
}
