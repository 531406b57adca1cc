import * as Plot from '@observablehq/plot';
import { describeSettings } from '../report/format.ts';
import type { BenchResult, ResultRow } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import type { Chart } from './chart.ts';
import { legendOf, PHASE_COLORS } from './stages.ts';
import { drawPlot } from './svg.ts';

interface Part {
  readonly row: string;
  readonly phase: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Where the time of an update goes: a bar for each kind of update, in phases, with the floor drawn across. */
export function phasesChart({ rows }: BenchResult): Chart | undefined {
  const updates = rows.filter(({ what, sizeBytes }) => what.startsWith('update') && sizeBytes !== undefined);
  const [first] = updates;
  if (first === undefined) return undefined;
  const parts = updates.flatMap((row) => partsOf(row));
  const floorMs = Math.max(...updates.map((row) => row.floorMs ?? 0));
  const svg = drawPlot({
    marginLeft: 20 + CHARACTER_PX * Math.max(...updates.map((row) => nameOf(row).length)),
    marginTop: 30,
    height: 90 + 30 * updates.length,
    x: { label: 'milliseconds', grid: true, zero: true },
    y: { label: null, domain: updates.map(nameOf) },
    color: { legend: true, ...legendOf(PHASE_COLORS, new Set(parts.map(({ phase }) => phase))) },
    marks: [
      Plot.barX(parts, {
        ...{ y: 'row', x1: 'fromMs', x2: 'toMs', fill: 'phase', insetTop: 3, insetBottom: 3 },
        title: ({ row, phase, fromMs, toMs }: Part) => `${row}\n${phase}: ${(toMs - fromMs).toFixed(1)} ms`,
      }),
      ...(floorMs > 0
        ? [
            Plot.ruleX([floorMs], { stroke: 'black', strokeWidth: 1.5, strokeDasharray: '4,3' }),
            Plot.text([`floor ${floorMs.toFixed(0)} ms`], {
              ...{ x: floorMs, frameAnchor: 'top', dy: -8, textAnchor: 'start', dx: 4, fontWeight: 'bold' },
            }),
          ]
        : []),
    ],
  });
  return { title: sentence(first), svg, caption: CAPTION };
}

/** Of the labels' font, about. */
const CHARACTER_PX = 6.4;

const CAPTION =
  'Each bar is one kind of update. Ours is cut into its phases, of the last repetition: plan, handshake with the engine, ' +
  'stream (every byte moves here), release (the engine lets go of the shared buffer), hook (its post-load work). The ' +
  'dashed line is the least time that the links of this machine allow for the bytes.';

const nameOf = (row: ResultRow): string => `${row.by}, ${describeSettings(row)}`;

function partsOf(row: ResultRow): Part[] {
  const { total: _, ...phases } = row.phasesMs ?? {};
  if (Object.keys(phases).length === 0) {
    return [{ row: nameOf(row), phase: 'not told apart', fromMs: 0, toMs: median(row.samplesMs) }];
  }
  let atMs = 0;
  return Object.entries(phases).map(([phase, ms]) => {
    const part = { row: nameOf(row), phase, fromMs: atMs, toMs: atMs + ms };
    atMs += ms;
    return part;
  });
}

/** What the first bar says, in words. */
function sentence({ phasesMs = {}, floorMs }: ResultRow): string {
  const { total = 0, stream = 0, release = 0, hook = 0 } = phasesMs;
  if (total === 0) return 'What updates take';
  const percent = (ms: number): string => `${((100 * ms) / total).toFixed(0)} %`;
  const floor = floorMs === undefined ? '' : ` (floor ${floorMs.toFixed(0)} ms)`;
  return (
    `Where the time goes: ${percent(stream)} of ${total.toFixed(0)} ms moves the bytes${floor}, ` +
    `${percent(release + hook)} is the engine letting go and finishing, ${percent(total - stream - release - hook)} prepares`
  );
}
