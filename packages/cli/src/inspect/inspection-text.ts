import { basename } from 'node:path';
import type { TensorEntry } from '@checkpoint-engine/meta';
import { formatBytes } from '@checkpoint-engine/planner';
import { errorText } from '../output/error-text.ts';
import { formatCount, plural } from '../output/format.ts';
import { printable } from '../output/printable.ts';
import { type Column, renderTable } from '../output/table.ts';
import type { Colors } from '../output/terminal.ts';
import type { InspectedDigests, Inspection } from './inspect-checkpoint.ts';

/** Number of largest tensors to show without `--tensors`. */
const LARGEST = 5;
/** Number of characters of a tensor's name to show. */
const NAME_CHARACTERS = 200;
const TENSOR_COLUMNS: readonly Column[] = [
  { head: 'tensor' },
  { head: 'dtype' },
  { head: 'shape' },
  { head: 'size', align: 'right' },
];

/** Options of {@link inspectionText}. */
export interface InspectionTextOptions {
  readonly colors: Colors;
  /** Whether to list all tensors instead of the largest ones. */
  readonly allTensors: boolean;
  readonly debug: boolean;
}

/** Formats an inspection for users. */
export function inspectionText(inspection: Inspection, { colors, allTensors, debug }: InspectionTextOptions): string {
  const { path, files, tensors, totalBytes, digested, warnings, problems } = inspection;
  const heading = (text: string): string => `\n${colors.bold(text)}`;
  const sums = `${plural(tensors.length, 'tensor')}, ${formatBytes(totalBytes)} in ${plural(files.length, 'file')}`;
  const lines = [files.length > 0 ? `${colors.bold(printable(path))}: ${sums}` : colors.bold(printable(path))];
  if (files.length > 0) {
    lines.push(heading('Files'), fileTable(inspection));
    lines.push(heading('Dtypes'), dtypeTable(inspection));
    lines.push(heading(allTensors ? 'Tensors' : 'Largest tensors'));
    lines.push(tensorTable(allTensors ? tensors : largest(tensors), digested));
    if (digested?.digest !== undefined) lines.push('', `digest ${digested.digest}, version digest:${digested.digest}`);
  }
  if (warnings.length > 0)
    lines.push(heading('Warnings'), ...warnings.map((text) => `  ${colors.yellow('!')} ${text}`));
  if (problems.length > 0) {
    lines.push(heading(`${plural(problems.length, 'problem')}`));
    lines.push(...problems.map((problem) => errorText(problem, { colors, debug })));
  } else {
    lines.push(
      '',
      `${colors.green('ok')}: headers, offsets and sizes agree${inspection.files.length > 1 ? ' in all files' : ''}`,
    );
  }
  return lines.join('\n');
}

function fileTable({ files, digested }: Inspection): string {
  const columns: Column[] = [{ head: 'file' }, { head: 'tensors', align: 'right' }, { head: 'size', align: 'right' }];
  const sha256 = digested?.sha256ByPath;
  if (sha256 !== undefined) columns.push({ head: 'sha256' });
  return renderTable(
    columns,
    files.map(({ path, tensors, sizeBytes }) => [
      ...[printable(basename(path)), formatCount(tensors.length), formatBytes(sizeBytes)],
      ...(sha256 === undefined ? [] : [sha256.get(path)!]),
    ]),
  );
}

function tensorTable(tensors: readonly TensorEntry[], digested: InspectedDigests | undefined): string {
  const digests = digested?.byTensor;
  if (digests === undefined) return renderTable(TENSOR_COLUMNS, tensors.map(tensorRow));
  const columns = [...TENSOR_COLUMNS, { head: 'digest' }];
  return renderTable(
    columns,
    tensors.map((tensor) => [...tensorRow(tensor), digests.get(tensor.name)!]),
  );
}

function dtypeTable({ dtypes, totalBytes }: Inspection): string {
  const columns: Column[] = [
    { head: 'dtype' },
    { head: 'tensors', align: 'right' },
    { head: 'size', align: 'right' },
    { head: 'share', align: 'right' },
  ];
  return renderTable(
    columns,
    dtypes.map(({ dtype, tensorCount, sizeBytes }) => [
      dtype,
      formatCount(tensorCount),
      formatBytes(sizeBytes),
      totalBytes === 0 ? '-' : `${((100 * sizeBytes) / totalBytes).toFixed(1)}%`,
    ]),
  );
}

function largest(tensors: readonly TensorEntry[]): TensorEntry[] {
  return [...tensors].sort((a, b) => b.sizeBytes - a.sizeBytes).slice(0, LARGEST);
}

function tensorRow({ name, dtype, shape, sizeBytes }: TensorEntry): string[] {
  return [shownName(name), dtype, `[${shape.join(', ')}]`, formatBytes(sizeBytes)];
}

/** Names have up to millions of characters, which no table can show. */
function shownName(name: string): string {
  return printable(name.length <= NAME_CHARACTERS ? name : `${name.slice(0, NAME_CHARACTERS)}...`);
}
