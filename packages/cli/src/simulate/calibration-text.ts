import type { Calibration } from '@checkpoint-engine/simulate';
import { formatDuration } from '../output/format.ts';
import { renderTable } from '../output/table.ts';
import type { Colors } from '../output/terminal.ts';

const figure = (value: number): string => String(Number(value.toPrecision(4)));

/** Formats the fields that a trace determines as text. */
export function calibrationText({ fields, measuredMs }: Calibration, colors: Colors): string {
  const columns = [
    { head: 'field' },
    { head: 'preset', align: 'right' as const },
    { head: 'fitted', align: 'right' as const },
    { head: 'to' },
  ];
  const rows = fields.map(({ field, before, value, from }) => [field, figure(before), figure(value), from]);
  const title = `${colors.bold('Calibration')}: the update of the trace takes ${formatDuration(measuredMs)}`;
  return `${title}\n\n${renderTable(columns, rows)}\n`;
}
