import * as Plot from '@observablehq/plot';
import type { Chart } from './chart.ts';
import { formatMs } from './format-ms.ts';
import type { ReportedUpdate } from './reported-update.ts';
import { legendOf, PHASE_COLORS } from './stages.ts';
import { drawPlot } from './svg.ts';

/** Maximum number of bars. If there are more ranks, the slowest ones are drawn. */
const MAX_RANKS = 32;

const CAPTION =
  'One bar per rank. register: reading the checkpoint into host memory. gatherMetas: exchanging what each rank holds. ' +
  'plan: agreeing on the plan. handshake: sending requests to the engines and opening shared memory. stream: moving the bytes. release: the ' +
  'engine releases the shared buffer. hook: the work of the engine after loading.';

/** The phases of each rank, one bar per rank. */
export function phasesChart({ ranks }: ReportedUpdate): Chart | undefined {
  const withPhases = ranks.filter(({ phases }) => phases.length > 0);
  if (withPhases.length === 0) return undefined;
  const shown = withPhases
    .toSorted((a, b) => endOf(b.phases) - endOf(a.phases))
    .slice(0, MAX_RANKS)
    .toSorted((a, b) => a.rank - b.rank);
  const parts = shown.flatMap(({ rank, phases }) => phases.map((phase) => ({ rank: `rank ${rank}`, ...phase })));
  const svg = drawPlot({
    height: 90 + 26 * shown.length,
    x: { label: 'milliseconds', grid: true, zero: true },
    y: { label: null, domain: shown.map(({ rank }) => `rank ${rank}`) },
    color: { legend: true, ...legendOf(PHASE_COLORS, new Set(parts.map(({ name }) => name))) },
    marks: [
      Plot.barX(parts, {
        ...{ y: 'rank', x1: 'fromMs', x2: 'toMs', fill: 'name', insetTop: 3, insetBottom: 3 },
        title: ({ rank, name, fromMs, toMs }) => `${rank}\n${name}: ${(toMs - fromMs).toFixed(1)} ms`,
      }),
    ],
  });
  const left = withPhases.length - shown.length;
  return {
    title: sentence(withPhases.flatMap(({ phases }) => phases)),
    svg,
    caption: left === 0 ? CAPTION : `${CAPTION} The ${MAX_RANKS} slowest of ${withPhases.length} ranks are shown.`,
  };
}

const endOf = (phases: readonly { readonly toMs: number }[]): number => Math.max(...phases.map(({ toMs }) => toMs));

/** Describes the phase that took longest on any rank. */
function sentence(
  phases: readonly { readonly name: string; readonly fromMs: number; readonly toMs: number }[],
): string {
  const longest = new Map<string, number>();
  for (const { name, fromMs, toMs } of phases) longest.set(name, Math.max(longest.get(name) ?? 0, toMs - fromMs));
  const [name, ms] = [...longest].toSorted(([, a], [, b]) => b - a)[0]!;
  return `The longest phase is ${name}, with ${formatMs(ms)} on the slowest rank`;
}
