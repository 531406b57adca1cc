import { formatBytes } from '@checkpoint-engine/planner';
import { bandwidthChart } from './bandwidth-chart.ts';
import type { Chart } from './chart.ts';
import { escapeHtml } from './escape-html.ts';
import { formatMs } from './format-ms.ts';
import { phasesChart } from './phases-chart.ts';
import type { ReportedUpdate } from './reported-update.ts';
import { tableHtml } from './table-html.ts';
import { timelineChart } from './timeline-chart.ts';

const STYLE = `
:root { color-scheme: light dark; --page: #ffffff; --text: #1a1a1a; --quiet: #595959; --line: #dddddd; --head: #f4f4f4; --bad: #b00020; --good: #1b6e2e }
@media (prefers-color-scheme: dark) { :root { --page: #15181c; --text: #e6e6e6; --quiet: #a6adb5; --line: #3a4048; --head: #22272d; --bad: #ff8a94; --good: #7fd394 } }
html { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page) }
body { max-width: 1100px; margin: 2rem auto; padding: 0 1.25rem }
h1 { font-size: 1.5rem; line-height: 1.3; margin-bottom: .25rem } h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; line-height: 1.35 }
.quiet, .caption { color: var(--quiet) } .caption { font-size: .9rem; max-width: 60rem } figure { margin: 0; overflow-x: auto }
table { border-collapse: collapse; font-size: .85rem; display: block; overflow-x: auto }
th, td { text-align: left; padding: .25rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap }
th { background: var(--head) } td.number { text-align: right; font-variant-numeric: tabular-nums }
.failed, .cancelled { color: var(--bad) } .succeeded, .simulated { color: var(--good) } .facts td { border: 0; white-space: normal; padding: .1rem .9rem .1rem 0 }
ul { padding-left: 1.25rem } svg[width="1000"] { max-width: 100%; min-width: 640px; height: auto }
`;

/** Rows of the table of ranks: more are left out and counted. */
const MAX_ROWS = 128;

/**
 * Makes the page of one update, or of several to compare: one HTML text without scripts or external addresses.
 *
 * @param first Its title is that of the page.
 */
export function updatePage(first: ReportedUpdate, ...others: readonly ReportedUpdate[]): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(first.title)}: ${first.outcome}</title>
<style>${STYLE}</style></head>
<body>
${[first, ...others].flatMap(sectionsOf).join('\n')}
</body>
</html>
`;
}

function sectionsOf(update: ReportedUpdate): string[] {
  const { title, outcome, date, facts, error, warnings, tables = [] } = update;
  const charts = [phasesChart(update), timelineChart(update), bandwidthChart(update)];
  const sections = [
    `<h1>${escapeHtml(title)}: <span class="${outcome}">${outcome}</span></h1>`,
    `<p class="quiet">${escapeHtml(date)}</p>`,
    error === undefined
      ? ''
      : `<h2 class="failed">${escapeHtml(error.code)}: ${escapeHtml(error.what)}</h2><p>${escapeHtml(error.hint)}</p>`,
    `<table class="facts">${[...facts, ...totals(update)].map(([name, value]) => `<tr><td class="quiet">${escapeHtml(name)}</td><td>${escapeHtml(value)}</td></tr>`).join('')}</table>`,
    warnings.length === 0
      ? ''
      : `<h2>Warnings</h2><ul>${warnings.map((warning) => `<li>${escapeHtml(warning)}</li>`).join('')}</ul>`,
    ...tables.map(tableHtml),
    ...charts.flatMap((chart) => (chart === undefined ? [] : [figureOf(chart)])),
    rankTable(update),
  ];
  return sections.filter((section) => section !== '');
}

function totals({ ranks, totalBytes, deviceBytes }: ReportedUpdate): [string, string][] {
  const needed = ranks.reduce((sum, rank) => sum + rank.neededBytes, 0);
  const all = totalBytes * ranks.filter(({ neededBytes }) => neededBytes > 0).length;
  return [
    ['Checkpoint size', formatBytes(totalBytes)],
    ['Device memory', formatBytes(deviceBytes)],
    ...(all > 0 && needed < all
      ? [
          ['Needed', `${((100 * needed) / all).toFixed(1)} % of what a broadcast to every rank moves`] as [
            string,
            string,
          ],
        ]
      : []),
  ];
}

function figureOf({ title, svg, caption }: Chart): string {
  return `<h2>${escapeHtml(title)}</h2>\n<figure>${svg}</figure>\n<p class="caption">${escapeHtml(caption)}</p>`;
}

function rankTable({ ranks }: ReportedUpdate): string {
  const head = ['Rank', 'Device', 'Needed', 'Received', 'Host memory', 'Time', 'Rate'];
  const rows = ranks.slice(0, MAX_ROWS).map(({ rank, device, neededBytes, receivedBytes, poolBytes, phases }) => {
    const stream = phases.find(({ name }) => name === 'stream');
    const streamMs = stream === undefined ? 0 : stream.toMs - stream.fromMs;
    const totalMs = phases.length === 0 ? 0 : Math.max(...phases.map(({ toMs }) => toMs));
    return [
      String(rank),
      device,
      formatBytes(neededBytes),
      formatBytes(receivedBytes),
      formatBytes(poolBytes),
      formatMs(totalMs),
      streamMs > 0 ? `${(receivedBytes / streamMs / 1e6).toPrecision(3)} GB/s` : '-',
    ];
  });
  const cell = (text: string, column: number): string =>
    `<td${column === 1 ? '' : ' class="number"'}>${escapeHtml(text)}</td>`;
  const left = ranks.length - rows.length;
  return `<h2>Ranks</h2>
<table><thead><tr>${head.map((text) => `<th>${text}</th>`).join('')}</tr></thead>
<tbody>${rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('\n')}</tbody></table>
<p class="caption">Needed: bytes that the worker of this rank keeps. Received: bytes that reached it. Rate: received bytes over the time of the stream phase.${left > 0 ? ` ${left} more ranks are left out.` : ''}</p>`;
}
