import * as Plot from '@observablehq/plot';
import type { Chart } from './chart.ts';
import { formatMs } from './format-ms.ts';
import type { RankReport, ReportedUpdate, StageSpan } from './reported-update.ts';
import { legendOf, STAGE_COLORS, STAGES } from './stages.ts';
import { drawPlot } from './svg.ts';

/** Maximum number of blocks of a plot: more would make a large and unreadable page. */
const MAX_SPANS = 6000;
const MAX_RANKS = 8;

/** The stages of each bucket over time, for the first ranks. */
export function timelineChart({ ranks }: ReportedUpdate): Chart | undefined {
  const busy = ranks.filter(({ spans }) => spans.length > 0);
  const shown = ranksThatFit(busy);
  if (shown.length === 0) return undefined;
  const spans = shown.flatMap(({ rank, spans: own }) => own.map((span) => ({ rank: `rank ${rank}`, ...span })));
  const stages = Object.keys(STAGES).filter((stage) => spans.some((span) => span.stage === stage));
  const svg = drawPlot({
    height: 76 + shown.length * (24 + 26 * stages.length),
    marginRight: 60,
    x: { label: 'milliseconds from the start of the update', grid: true },
    y: { label: null, domain: stages },
    fy: { label: null, domain: shown.map(({ rank }) => `rank ${rank}`) },
    color: { legend: true, ...legendOf(STAGE_COLORS, new Set(stages)), tickFormat: (stage: string) => STAGES[stage]! },
    marks: [
      Plot.barX(spans, {
        ...{ fy: 'rank', y: 'stage', x1: 'fromMs', x2: 'toMs', fill: 'stage', fillOpacity: 0.75 },
        ...{ stroke: 'var(--page)', strokeWidth: 0.4, insetTop: 2, insetBottom: 2 },
        title: ({ stage, index, fromMs, toMs, sizeBytes }) =>
          `${stage} ${index}\n${(sizeBytes / 2 ** 20).toFixed(1)} MiB in ${(toMs - fromMs).toFixed(2)} ms: ` +
          `${(sizeBytes / Math.max(toMs - fromMs, 1e-3) / 1e6).toFixed(1)} GB/s`,
      }),
    ],
  });
  const left = busy.length - shown.length;
  const caption =
    'One row per stage of a rank, one block per bucket or pull. Stages overlap where blocks of different rows are above each ' +
    'other. The row without gaps is what the update waits for. Point at a block to see its bytes and its rate.';
  return {
    title: sentence(shown[0]!, stages),
    svg,
    caption: left === 0 ? caption : `${caption} ${shown.length} of ${busy.length} ranks are shown.`,
  };
}

function ranksThatFit(ranks: readonly RankReport[]): RankReport[] {
  let count = 0;
  return ranks.slice(0, MAX_RANKS).filter(({ spans }, index) => {
    count += spans.length;
    return index === 0 || count <= MAX_SPANS;
  });
}

/** Describes the stage that is busy for the largest share of the time. */
function sentence({ rank, spans }: RankReport, stages: readonly string[]): string {
  const fromMs = Math.min(...spans.map((span) => span.fromMs));
  const toMs = Math.max(...spans.map((span) => span.toMs));
  const lengthMs = Math.max(toMs - fromMs, 1e-3);
  const busy = stages
    .map((stage) => ({ stage, share: busyMs(spans.filter((span) => span.stage === stage)) / lengthMs }))
    .filter(({ share }) => share > 0);
  const most = busy.toSorted((a, b) => b.share - a.share)[0]!;
  const all = busy.map(({ stage, share }) => `${stage} ${(100 * share).toFixed(0)} %`).join(', ');
  return `Bytes move for ${formatMs(lengthMs)}, most of it limited by: ${STAGES[most.stage] ?? most.stage}. Busy on rank ${rank}: ${all}`;
}

/** Milliseconds in which at least one of the spans is open. */
function busyMs(spans: readonly StageSpan[]): number {
  let [sum, endMs] = [0, Number.NEGATIVE_INFINITY];
  for (const { fromMs, toMs } of spans.toSorted((a, b) => a.fromMs - b.fromMs)) {
    sum += Math.max(0, toMs - Math.max(endMs, fromMs));
    endMs = Math.max(endMs, toMs);
  }
  return sum;
}
