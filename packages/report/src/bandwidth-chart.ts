import * as Plot from '@observablehq/plot';
import type { Chart } from './chart.ts';
import type { RankReport, ReportedUpdate, StageSpan } from './reported-update.ts';
import { legendOf, STAGE_COLORS, STAGES } from './stages.ts';
import { drawPlot } from './svg.ts';

const BINS = 60;
/** For shorter spans, the resolution of the clock dominates the rate. */
const SHORTEST_MS = 0.5;

interface Point {
  readonly stage: string;
  readonly ms: number;
  readonly rateGBps: number;
}

/** Bytes per second through each stage of the slowest rank over time, with the rate of the fastest single bucket. */
export function bandwidthChart({ ranks }: ReportedUpdate): Chart | undefined {
  const slowest = ranks.filter(({ spans }) => spans.length > 0).toSorted((a, b) => endOf(b) - endOf(a))[0];
  if (slowest === undefined) return undefined;
  const points = pointsOf(slowest.spans);
  const best = fastestSpans(slowest.spans);
  const stages = new Set(points.map(({ stage }) => stage));
  const highest = Math.max(...points.map(({ rateGBps }) => rateGBps));
  const visible = best.filter(({ rateGBps }) => rateGBps <= highest * 2);
  const svg = drawPlot({
    height: 300,
    x: { label: 'milliseconds from the start of the update', grid: true },
    y: {
      label: '↑ GB/s',
      grid: true,
      domain: [0, Math.max(highest, ...visible.map(({ rateGBps }) => rateGBps)) * 1.1],
    },
    color: { legend: true, ...legendOf(STAGE_COLORS, stages), tickFormat: (stage: string) => STAGES[stage]! },
    marks: [
      Plot.lineY(points, { x: 'ms', y: 'rateGBps', stroke: 'stage', strokeWidth: 1.8, curve: 'step' }),
      Plot.ruleY(visible, { y: 'rateGBps', stroke: 'stage', strokeDasharray: '4,3' }),
      Plot.ruleY([0]),
    ],
  });
  const rates = best.map(({ stage, rateGBps }) => `${stage} ${rateGBps.toPrecision(3)}`).join(', ');
  return {
    title: `The fastest buckets of rank ${slowest.rank} reached, in GB/s: ${rates}`,
    svg,
    caption:
      'Bytes per second (1 GB is 1e9 bytes) through each stage of the slowest rank. The bytes of a bucket count evenly over the ' +
      'time that it takes. A dashed line is the rate of the fastest single bucket of a stage: the best rate of the link in ' +
      'this update. A stage far below its dashed line waits for another one.',
  };
}

const endOf = ({ spans }: RankReport): number => Math.max(...spans.map(({ toMs }) => toMs));

function fastestSpans(spans: readonly StageSpan[]): { readonly stage: string; readonly rateGBps: number }[] {
  const best = new Map<string, number>();
  for (const { stage, fromMs, toMs, sizeBytes } of spans) {
    if (toMs - fromMs < SHORTEST_MS) continue;
    best.set(stage, Math.max(best.get(stage) ?? 0, sizeBytes / (toMs - fromMs) / 1e6));
  }
  return Object.keys(STAGES)
    .filter((stage) => best.has(stage))
    .map((stage) => ({ stage, rateGBps: best.get(stage)! }));
}

/** The bytes of a span are spread evenly over its time. */
function pointsOf(spans: readonly StageSpan[]): Point[] {
  const fromMs = Math.min(...spans.map((span) => span.fromMs));
  const toMs = Math.max(...spans.map((span) => span.toMs));
  const binMs = Math.max(toMs - fromMs, 1e-3) / BINS;
  const bins = new Map<string, number[]>();
  for (const span of spans) {
    const own = bins.get(span.stage) ?? Array<number>(BINS).fill(0);
    bins.set(span.stage, own);
    // A span has at least the width of a bin: a shorter one would look like a rate that no link reaches.
    const start = Math.min(span.fromMs - fromMs, (BINS - 1) * binMs);
    const end = Math.max(span.toMs - fromMs, start + binMs);
    for (let bin = Math.floor(start / binMs); bin < BINS && bin * binMs < end; bin++) {
      const insideMs = Math.min(end, (bin + 1) * binMs) - Math.max(start, bin * binMs);
      own[bin]! += (span.sizeBytes * Math.max(0, insideMs)) / (end - start);
    }
  }
  return [...bins].flatMap(([stage, own]) =>
    own.map((bytes, bin) => ({ stage, ms: fromMs + (bin + 0.5) * binMs, rateGBps: bytes / binMs / 1e6 })),
  );
}
