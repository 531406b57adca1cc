import { formatBytes } from '@checkpoint-engine/planner/sizes';
import type { LinkUse, SimulationResult, WhatIf } from '@checkpoint-engine/simulate';
import { formatCount, formatDuration, plural } from '../output/format.ts';
import { renderTable } from '../output/table.ts';
import type { Colors } from '../output/terminal.ts';

/** A result, and changes that would make the update faster. */
export interface Simulation {
  readonly result: SimulationResult;
  readonly whatIf: readonly WhatIf[];
}

const right = 'right' as const;
const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;

/** Formats simulations for users: one block each, and a comparison of several. */
export function simulationText(simulations: readonly Simulation[], colors: Colors): string {
  const blocks = simulations.map((simulation) => blockOf(simulation, colors));
  if (simulations.length > 1) blocks.push(comparison(simulations, colors));
  return blocks.join('\n\n');
}

function blockOf({ result, whatIf }: Simulation, colors: Colors): string {
  const { title, method, cluster, ranks, receivers, totalMs, totalBytes, tensorCount, plan, memory } = result;
  const facts: [string, string][] = [
    ['time', colors.bold(formatDuration(totalMs))],
    ['bottleneck', result.bottleneck],
    ['checkpoint', `${plural(tensorCount, 'tensor')}, ${formatBytes(totalBytes)}`],
    ['plan', planText(plan)],
    [
      'device memory',
      `${formatBytes(memory.deviceBytes)} for the update, ${formatBytes(memory.keptBytes)} of parameters`,
    ],
    ['host memory', `${formatBytes(memory.hostBytes)} per host`],
  ];
  const received = receivers === ranks ? '' : `, ${formatCount(receivers)} of them receive`;
  return [
    `${colors.bold(`${title}: ${method}`)} on ${plural(ranks, 'rank')}${received} (${cluster})`,
    '',
    ...facts.map(([name, text]) => `  ${colors.dim(name.padEnd(14))}${text}`),
    '',
    stageTable(result),
    '',
    linkTable(result),
    ...(whatIf.length > 0 ? ['', whatIfTable(whatIf, totalMs)] : []),
    ...result.warnings.map((text) => `\n  ${colors.yellow('!')} ${text}`),
  ].join('\n');
}

function planText({ buckets, bucketBytes, chunks, reason }: SimulationResult['plan']): string {
  const parts =
    buckets > 0 ? `${plural(buckets, 'bucket')} of at most ${formatBytes(bucketBytes)}` : plural(chunks, 'chunk');
  return reason === '' ? parts : `${parts}; ${reason}`;
}

function stageTable({ stages, totalMs }: SimulationResult): string {
  const columns = [
    { head: 'stage' },
    { head: 'busy', align: right },
    { head: 'on the critical path', align: right },
    { head: 'share', align: right },
    { head: 'steps', align: right },
    { head: 'bytes', align: right },
  ];
  const rows = stages.map(({ stage, busyMs, criticalMs, steps, sizeBytes }) => [
    stage,
    formatDuration(busyMs),
    formatDuration(criticalMs),
    percent(totalMs > 0 ? criticalMs / totalMs : 0),
    formatCount(steps),
    sizeBytes > 0 ? formatBytes(sizeBytes) : '-',
  ]);
  return renderTable(columns, rows);
}

/** The most used link of each kind, and the bytes of all links of that kind. */
function linkTable({ links }: SimulationResult): string {
  const kinds = new Map<string, LinkUse>();
  for (const link of links) if (!kinds.has(link.kind)) kinds.set(link.kind, link);
  const columns = [
    { head: 'most used link' },
    { head: 'utilization', align: right },
    { head: 'bytes', align: right },
    { head: 'rate', align: right },
  ];
  const rows = [...kinds.values()].map(({ name, utilization, sizeBytes, rateGBps }) => [
    name,
    percent(utilization),
    formatBytes(sizeBytes),
    `${Number(rateGBps.toPrecision(3))} GB/s`,
  ]);
  return renderTable(columns, rows);
}

function whatIfTable(whatIf: readonly WhatIf[], totalMs: number): string {
  const columns = [{ head: 'what if' }, { head: 'time', align: right }, { head: 'saves', align: right }];
  const rows = whatIf
    .slice(0, 5)
    .map(({ change, totalMs: ms, savedMs }) => [change, formatDuration(ms), percent(savedMs / totalMs)]);
  return renderTable(columns, rows);
}

function comparison(simulations: readonly Simulation[], colors: Colors): string {
  const columns = [
    { head: 'method' },
    { head: 'time', align: right },
    { head: 'device memory', align: right },
    { head: 'bottleneck' },
  ];
  const rows = simulations.map(({ result: { method, totalMs, memory, bottleneck } }) => [
    method,
    formatDuration(totalMs),
    formatBytes(memory.deviceBytes),
    bottleneck,
  ]);
  return `${colors.bold('Comparison')}\n\n${renderTable(columns, rows)}`;
}
