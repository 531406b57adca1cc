import type { BenchResult, Timeline } from '../report/result.ts';
import { type View, viewsOf } from '../report/views.ts';
import { bandwidthChart } from './bandwidth-chart.ts';
import type { Chart } from './chart.ts';
import { memoryChart } from './memory-chart.ts';
import { phasesChart } from './phases-chart.ts';
import { timelineChart } from './timeline-chart.ts';

/** Blocks that a page draws: more would make it large and tell nothing. */
const MOST_SPANS = 6000;

const STYLE = `
:root { color-scheme: light; font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff }
body { max-width: 1100px; margin: 2rem auto; padding: 0 1.5rem }
h1 { font-size: 1.5rem; line-height: 1.3 } h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; line-height: 1.35 }
h1 + p, .machine { color: #555 } figure { margin: 0 } .caption { color: #555; font-size: .9rem; max-width: 60rem }
table { border-collapse: collapse; font-size: .8rem; display: block; overflow-x: auto }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
th { background: #f4f4f4 } .missed { color: #b00020; font-weight: 600 } .met { color: #1b6e2e; font-weight: 600 }
svg { max-width: 100%; height: auto } .wrong { background: #b00020; color: #fff; padding: .5rem 1rem }
`;

/** A page that opens offline: the sentence, plots, tables. It needs no script. */
export function resultPage(results: readonly BenchResult[]): string {
  const title = results.map((result) => result.title).join(' · ');
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title>
<style>${STYLE}</style></head>
<body>
${results.map(section).join('\n<hr>\n')}
</body>
</html>
`;
}

function section(result: BenchResult): string {
  const { machine, notes = [] } = result;
  const where = [
    machine.device,
    machine.driver && `driver ${machine.driver}`,
    machine.nccl && `NCCL ${machine.nccl}`,
    `${machine.cores} cores`,
    machine.runtime,
    machine.commit && `commit ${machine.commit}`,
    machine.date.slice(0, 10),
    `scenario ${result.scenario}`,
  ];
  const wrong = result.rows.reduce((sum, row) => sum + (row.wrong ?? 0), 0);
  const { drawn, left } = timelinesToDraw(result.timelines ?? []);
  const charts = [
    phasesChart(result),
    ...drawn.flatMap((timeline) => [timelineChart(timeline), bandwidthChart(result, timeline)]),
    memoryChart(result),
  ];
  return [
    `<h1>${escapeHtml(result.title)}</h1>`,
    `<p class="machine">${escapeHtml(where.filter(Boolean).join(' · '))}</p>`,
    wrong > 0 ? `<p class="wrong">${wrong} WRONG</p>` : '',
    ...charts.flatMap((chart) => (chart === undefined ? [] : [figureOf(chart)])),
    left > 0 ? `<p class="caption">${left} more timelines are in the JSON.</p>` : '',
    ...viewsOf(result).map(tableOf),
    notes.length > 0 ? `<ul>${notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('')}</ul>` : '',
  ].join('\n');
}

function timelinesToDraw(timelines: readonly Timeline[]): { drawn: Timeline[]; left: number } {
  let spans = 0;
  const drawn = timelines.filter(({ ranks }, index) => {
    spans += ranks.reduce((sum, rank) => sum + rank.spans.length, 0);
    return index === 0 || spans <= MOST_SPANS;
  });
  return { drawn, left: timelines.length - drawn.length };
}

function figureOf({ title, svg, caption }: Chart): string {
  return `<h2>${escapeHtml(title)}</h2>\n${svg}\n<p class="caption">${escapeHtml(caption)}</p>`;
}

function tableOf({ title, head, rows }: View): string {
  const cell = (text: string): string => {
    const mark = text === 'MISSED' ? ' class="missed"' : text === 'met' ? ' class="met"' : '';
    const width = text.length < 24 ? ' style="white-space:nowrap"' : '';
    return `<td${mark}${width}>${escapeHtml(text)}</td>`;
  };
  return `<h2>${escapeHtml(title)}</h2>
<table><thead><tr>${head.map((text) => `<th>${escapeHtml(text)}</th>`).join('')}</tr></thead>
<tbody>${rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('\n')}</tbody></table>`;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
