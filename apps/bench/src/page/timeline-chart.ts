import * as Plot from '@observablehq/plot';
import type { Timeline } from '../report/result.ts';
import type { Chart } from './chart.ts';
import { legendOf, STAGE_COLORS, STAGES } from './stages.ts';
import { drawPlot } from './svg.ts';

interface Span {
  readonly rank: string;
  readonly stage: string;
  readonly bucket: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly sizeBytes: number;
}

/** When each bucket was in which stage, rank by rank. */
export function timelineChart({ label, ranks }: Timeline): Chart | undefined {
  const spans = ranks.flatMap(({ rank, spans: own }) =>
    own.map(([stage, bucket, fromMs, toMs, sizeBytes]): Span => {
      return { rank: `rank ${rank}`, stage, bucket, fromMs, toMs, sizeBytes };
    }),
  );
  if (spans.length === 0) return undefined;
  const stages = Object.keys(STAGES).filter((stage) => spans.some((span) => span.stage === stage));
  const svg = drawPlot({
    height: 76 + ranks.length * (24 + 26 * stages.length),
    marginRight: 60,
    x: { label: 'milliseconds from the first copy', grid: true },
    y: { label: null, domain: stages, tickFormat: (stage: string) => stage },
    fy: { label: null, domain: ranks.map(({ rank }) => `rank ${rank}`) },
    color: { legend: true, ...legendOf(STAGE_COLORS, new Set(stages)), tickFormat: (stage: string) => STAGES[stage]! },
    marks: [
      Plot.barX(spans, {
        ...{ fy: 'rank', y: 'stage', x1: 'fromMs', x2: 'toMs', fill: 'stage', fillOpacity: 0.75 },
        ...{ stroke: 'white', strokeWidth: 0.4, insetTop: 2, insetBottom: 2 },
        title: ({ stage, bucket, fromMs, toMs, sizeBytes }: Span) =>
          `bucket ${bucket}, ${STAGES[stage] ?? stage}\n${(sizeBytes / 2 ** 20).toFixed(1)} MiB in ${(toMs - fromMs).toFixed(2)} ms: ` +
          `${(sizeBytes / (toMs - fromMs) / 1e6).toFixed(1)} GB/s`,
      }),
    ],
  });
  return { title: `${sentence(spans, stages)} (${label})`, svg, caption: CAPTION };
}

const CAPTION =
  'A row for each stage of each rank, a block for each bucket: where blocks of different rows stand above each other, ' +
  'stages overlap. The row without gaps is what the update waits for. Hold the pointer over a block for its bytes and rate.';

/** Which stage is busy for most of the time: that one is what the update waits for. */
function sentence(spans: readonly Span[], stages: readonly string[]): string {
  const endMs = spans.reduce((end, { toMs }) => Math.max(end, toMs), 0);
  const first = spans.filter(({ rank }) => rank === spans[0]!.rank);
  const busy = stages.map((stage) => ({ stage, share: busyMs(first.filter((span) => span.stage === stage)) / endMs }));
  const most = busy.toSorted((a, b) => b.share - a.share)[0]!;
  const all = busy.map(({ stage, share }) => `${STAGES[stage]} ${(100 * share).toFixed(0)} %`).join(', ');
  return `The bytes move for ${endMs.toFixed(0)} ms, and what they wait for is: ${STAGES[most.stage]}. Busy at rank 0: ${all}`;
}

/** Milliseconds in which at least one of the spans is open. */
function busyMs(spans: readonly Span[]): number {
  let [sum, endMs] = [0, 0];
  for (const { fromMs, toMs } of spans.toSorted((a, b) => a.fromMs - b.fromMs)) {
    sum += Math.max(0, toMs - Math.max(endMs, fromMs));
    endMs = Math.max(endMs, toMs);
  }
  return sum;
}
