import { formatBytes } from '@checkpoint-engine/planner/sizes';
import type { SweepName, SweepPoint } from '@checkpoint-engine/simulate';
import { formatCount, formatDuration } from '../output/format.ts';
import { renderTable } from '../output/table.ts';
import type { Colors } from '../output/terminal.ts';

/** Formats the results of a sweep for users. */
export function sweepText(
  name: SweepName,
  sweeps: readonly { readonly method: string; readonly points: readonly SweepPoint[] }[],
  colors: Colors,
): string {
  return sweeps
    .map(({ method, points }) => {
      const rows = points.map(({ value, result }) => [
        name === 'bucket-size' ? formatBytes(value) : formatCount(value),
        formatDuration(result.totalMs),
        result.bottleneck,
      ]);
      const columns = [
        { head: name, align: 'right' as const },
        { head: 'time', align: 'right' as const },
        { head: 'bottleneck' },
      ];
      return `${colors.bold(`${points[0]!.result.title}, ${method}`)}\n\n${renderTable(columns, rows)}`;
    })
    .join('\n\n');
}
