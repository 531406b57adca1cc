import { basename } from 'node:path';
import { formatBytes } from '@checkpoint-engine/planner';
import type { DifferingRange } from '@checkpoint-engine/ps';
import { formatCount, formatDuration, plural } from '../output/format.ts';
import { type Column, renderTable } from '../output/table.ts';
import type { Colors } from '../output/terminal.ts';
import type { Verification } from './verification.ts';

const NAME_COLUMNS = 12;
/** Maximum number of names of tensors that cannot be compared. */
const NAMED = 3;
const DIFFERENCES: readonly Column[] = [
  { head: 'tensor' },
  { head: 'rank' },
  { head: 'bytes', align: 'right' },
  { head: 'expected' },
  { head: 'seen' },
];

/** Formats a verification for users: whether the engine holds the checkpoint, and where it differs. */
export function verificationText(
  verification: Verification,
  { colors, strict }: { readonly colors: Colors; readonly strict: boolean },
): string {
  const { checkpoint, equal, differing, differingCount, files = [], warnings, durationsMs } = verification;
  const isGood = equal && !(strict && verification.unverifiedTensors > 0);
  const mark = isGood ? colors.green('✓') : colors.red('✗');
  const title = equal
    ? `${mark} The engine holds ${colors.bold(checkpoint)}`
    : `${mark} The engine differs from ${colors.bold(checkpoint)} in ${plural(differingCount, 'tensor')}`;
  const time = Object.entries(durationsMs).map(([name, ms]) => `${name} ${formatDuration(ms)}`);
  const rows: [string, string][] = [
    ['compared', comparedText(verification)],
    ...unverifiedRows(verification),
    ['digest', verification.digest ?? 'not known'],
    ...verification.instances.map(({ endpoint, weightVersion = 'not known', checkpoint: held }): [string, string] => {
      return ['instance', `${endpoint}: version ${weightVersion}${held === undefined ? '' : `, checkpoint ${held}`}`];
    }),
    ['time', time.join(', ')],
  ];
  const lines = [title, ...rows.map(([name, text]) => `  ${colors.dim(name.padEnd(NAME_COLUMNS))}${text}`)];
  if (differing.length > 0) lines.push('', renderTable(DIFFERENCES, differing.map(differenceRow)));
  if (differingCount > differing.length) lines.push(`  and ${formatCount(differingCount - differing.length)} more`);
  const hashed = files.filter(({ sha256 }) => sha256 !== undefined);
  if (hashed.length > 0) {
    const columns = [{ head: 'sha256' }, { head: 'file' }];
    lines.push(
      '',
      renderTable(
        columns,
        hashed.map(({ path, sha256 }) => [sha256!, basename(path)]),
      ),
    );
  }
  return [...lines, ...warnings.map((text) => `  ${colors.yellow('!')} ${text}`)].join('\n');
}

function comparedText({ checkedTensors, tensorCount, checkedBytes, worldSize }: Verification): string {
  const count =
    tensorCount === undefined
      ? plural(checkedTensors, 'tensor')
      : `${formatCount(checkedTensors)} of ${plural(tensorCount, 'tensor')}`;
  const where = worldSize === undefined ? '' : ` on ${plural(worldSize, 'rank')}`;
  return `${count}, ${formatBytes(checkedBytes)}${where}`;
}

function unverifiedRows({ unverified, unverifiedTensors }: Verification): [string, string][] {
  if (unverifiedTensors === 0) return [];
  const names = unverified.slice(0, NAMED).join(', ');
  const more = unverifiedTensors > NAMED ? `, and ${formatCount(unverifiedTensors - NAMED)} more` : '';
  return [
    ['not compared', `${plural(unverifiedTensors, 'tensor')} that the engine holds in another form: ${names}${more}`],
  ];
}

function differenceRow({ tensor, rank, otherRanks, offsetBytes, sizeBytes, expected, seen }: DifferingRange): string[] {
  return [tensor, [rank, ...otherRanks].join(', '), `${offsetBytes} to ${offsetBytes + sizeBytes}`, expected, seen];
}
