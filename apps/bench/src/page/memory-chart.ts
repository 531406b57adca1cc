import { formatBytes } from '@checkpoint-engine/planner';
import * as Plot from '@observablehq/plot';
import { describeSettings, formatMs } from '../report/format.ts';
import type { BenchResult, ResultRow } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import type { Chart } from './chart.ts';
import { drawPlot } from './svg.ts';

interface Point {
  readonly by: string;
  readonly gib: number;
  readonly ms: number;
  readonly text: string;
}

/** Speed against device memory: one point for each kind of update. */
export function memoryChart({ rows }: BenchResult): Chart | undefined {
  const updates = rows.filter((row) => row.what.startsWith('update') && memoryOf(row) !== undefined);
  const points = updates
    .filter(({ sizeBytes }) => sizeBytes !== undefined)
    .map((row): Point => {
      const bytes = memoryOf(row)!;
      const text = `${row.by}, ${describeSettings(row)}\n${formatBytes(bytes)}, ${formatMs(median(row.samplesMs))}`;
      return { by: row.by, gib: bytes / 2 ** 30, ms: median(row.samplesMs), text };
    });
  if (new Set(points.map(({ gib }) => gib)).size < 2) return undefined;
  const floorMs = Math.max(...updates.map((row) => row.floorMs ?? 0));
  const svg = drawPlot({
    height: 320,
    x: { label: 'device memory beside the weights, GiB (logarithmic)', type: 'log', base: 2, grid: true },
    y: { label: '↑ milliseconds an update', grid: true, zero: true },
    color: { legend: true, scheme: 'Tableau10' },
    marks: [
      Plot.lineY(points, { x: 'gib', y: 'ms', stroke: 'by', sort: 'gib', strokeOpacity: 0.5 }),
      Plot.dot(points, { x: 'gib', y: 'ms', fill: 'by', r: 5, title: 'text' }),
      Plot.text(points, { x: 'gib', y: 'ms', dy: -12, text: ({ ms }: Point) => formatMs(ms) }),
      Plot.ruleY([0]),
      ...(floorMs > 0
        ? [
            Plot.ruleY([floorMs], { stroke: 'black', strokeDasharray: '4,3' }),
            Plot.text([`floor ${floorMs.toFixed(0)} ms`], {
              ...{ y: floorMs, frameAnchor: 'left', textAnchor: 'start', dy: 10, dx: 4, fontWeight: 'bold' },
            }),
          ]
        : []),
    ],
  });
  const ours = points.filter(({ by }) => by === 'checkpoint-engine');
  const least = ours.toSorted((a, b) => a.gib - b.gib)[0];
  const fastest = ours.toSorted((a, b) => a.ms - b.ms)[0];
  return {
    title:
      least === undefined || fastest === undefined
        ? 'Device memory against speed'
        : `${formatMs(least.ms)} with ${formatBytes(least.gib * 2 ** 30)} of device memory${fastest === least ? '' : `, ${formatMs(fastest.ms)} with ${formatBytes(fastest.gib * 2 ** 30)}`}`,
    svg,
    caption:
      'Each point is one kind of update: further left takes less device memory, further down is faster. Ours is what the ' +
      "update says that it takes; the Python tool's is what the driver saw. The dashed line is the least time that the " +
      'links allow.',
  };
}

/** What it says itself; what the driver saw where it says nothing. */
const memoryOf = ({ deviceBytes, driverBytes }: ResultRow): number | undefined => {
  const bytes = deviceBytes ?? driverBytes;
  return bytes !== undefined && bytes > 0 ? bytes : undefined;
};
