import * as Plot from '@observablehq/plot';
import type { BenchResult, RankTimeline, ResultRow, Timeline } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import type { Chart } from './chart.ts';
import { legendOf, STAGE_COLORS, STAGES } from './stages.ts';
import { drawPlot } from './svg.ts';

const BINS = 60;

interface Point {
  readonly stage: string;
  readonly ms: number;
  readonly rateGBps: number;
}

/** Bytes a second through each stage of the first rank while the update runs, with the measured limits of the links. */
export function bandwidthChart({ rows }: BenchResult, { label, ranks }: Timeline): Chart | undefined {
  const [first] = ranks;
  if (first === undefined || first.spans.length === 0) return undefined;
  const points = pointsOf(first);
  const limits = limitsOf(rows);
  const highest = Math.max(...points.map(({ rateGBps }) => rateGBps), ...limits.map(({ rateGBps }) => rateGBps));
  const stages = new Set(points.map(({ stage }) => stage));
  const svg = drawPlot({
    height: 300,
    x: { label: 'milliseconds from the first copy', grid: true },
    y: { label: '↑ GB/s (1e9 bytes a second)', grid: true, domain: [0, highest * 1.1] },
    color: { legend: true, ...legendOf(STAGE_COLORS, stages), tickFormat: (stage: string) => STAGES[stage]! },
    marks: [
      Plot.lineY(points, { x: 'ms', y: 'rateGBps', stroke: 'stage', strokeWidth: 1.8, curve: 'step' }),
      Plot.ruleY(limits, { y: 'rateGBps', stroke: 'black', strokeDasharray: '4,3' }),
      Plot.text(limits, {
        ...{ y: 'rateGBps', frameAnchor: 'right', textAnchor: 'end', dy: -6, dx: -4 },
        text: ({ text, rateGBps }: Limit) => `floor: ${text} ${rateGBps.toFixed(1)}`,
      }),
      Plot.ruleY([0]),
    ],
  });
  const bytes = first.spans.filter(([stage]) => stage === 'reload').reduce((sum, span) => sum + span[4], 0);
  const endMs = Math.max(...first.spans.map((span) => span[3]));
  return {
    title: `The engine of rank ${first.rank} takes in ${(bytes / endMs / 1e6).toFixed(1)} GB/s from the first copy to the last reload (${label})`,
    svg,
    caption:
      'Bytes a second through each stage of the first rank; a bucket counts evenly over the time that it takes. Dashed ' +
      'lines are what the links gave by themselves in the same run. Each rank copies its own share from its host memory, ' +
      'so its line is as high as the link, or as its share of the broadcast.',
  };
}

interface Limit {
  readonly text: string;
  readonly rateGBps: number;
}

/** What the links gave by themselves: copies to all GPUs at once, where that was measured, and broadcast. */
function limitsOf(rows: readonly ResultRow[]): Limit[] {
  const best = (what: string): Limit[] => {
    const rates = rows
      .filter((row) => row.by.startsWith('floor:') && row.what === what && row.sizeBytes !== undefined)
      .map((row) => row.sizeBytes! / median(row.samplesMs) / 1e6);
    return rates.length === 0 ? [] : [{ text: what, rateGBps: Math.max(...rates) }];
  };
  const [copies = best('H2D, one GPU alone')[0]] = best('H2D, all GPUs');
  return [...(copies === undefined ? [] : [copies]), ...best('broadcast')];
}

/** Bytes of a bucket are spread evenly over its span. */
function pointsOf({ spans }: RankTimeline): Point[] {
  const endMs = spans.reduce((end, span) => Math.max(end, span[3]), 0);
  const binMs = endMs / BINS;
  const bins = new Map<string, number[]>();
  for (const [stage, , fromMs, toMs, sizeBytes] of spans) {
    const own = bins.get(stage) ?? Array<number>(BINS).fill(0);
    bins.set(stage, own);
    const lengthMs = Math.max(toMs - fromMs, 1e-3);
    for (let bin = Math.floor(fromMs / binMs); bin < BINS && bin * binMs < toMs; bin++) {
      const insideMs = Math.min(toMs, (bin + 1) * binMs) - Math.max(fromMs, bin * binMs);
      own[bin]! += (sizeBytes * Math.max(0, insideMs)) / lengthMs;
    }
  }
  return [...bins].flatMap(([stage, own]) =>
    own.map((bytes, bin) => ({ stage, ms: (bin + 0.5) * binMs, rateGBps: bytes / binMs / 1e6 })),
  );
}
