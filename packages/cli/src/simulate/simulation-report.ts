import { formatBytes } from '@checkpoint-engine/planner/sizes';
import type { RankReport, ReportedUpdate, ReportTable } from '@checkpoint-engine/report';
import type { SimulationResult, StageTime } from '@checkpoint-engine/simulate';
import { formatCount, formatDuration } from '../output/format.ts';
import type { Simulation } from './simulation-text.ts';

/** Links in the table of a page. */
const MAX_LINKS = 16;

const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;

/** Puts a simulation together for its page. */
export function simulationReport({ result, whatIf }: Simulation, date: string): ReportedUpdate {
  const { title, method, cluster, ranks, receivers, totalMs, totalBytes, memory, plan } = result;
  const { buckets, bucketBytes, chunks, reason } = plan;
  return {
    title: `${title}, ${method}: ${formatDuration(totalMs)}`,
    outcome: 'simulated',
    date,
    facts: [
      ['Cluster', `${cluster}, ${formatCount(ranks)} ranks, ${formatCount(receivers)} of them receive`],
      ['Bottleneck', result.bottleneck],
      [
        'Plan',
        buckets > 0
          ? `${formatCount(buckets)} buckets of at most ${formatBytes(bucketBytes)}`
          : `${formatCount(chunks)} chunks`,
      ],
      ...(reason === '' ? [] : [['Sizes', reason] as const]),
      ['Parameters of a rank', formatBytes(memory.keptBytes)],
      ['Host memory', formatBytes(memory.hostBytes)],
    ],
    totalBytes,
    deviceBytes: memory.deviceBytes,
    warnings: result.warnings,
    tables: [stageTable(result), ...(whatIf.length > 0 ? [whatIfTable(whatIf, totalMs)] : []), linkTable(result)],
    ranks: ranksOf(result),
  };
}

function stageTable({ stages, totalMs }: SimulationResult): ReportTable {
  const worst = stages.toSorted((a, b) => b.criticalMs - a.criticalMs)[0];
  return {
    title:
      worst === undefined
        ? 'Nothing moves'
        : `${percent(worst.criticalMs / totalMs)} of the time is on the critical path through ${worst.stage}`,
    head: ['Stage', 'From', 'To', 'Busy', 'On the critical path', 'Share', 'Steps', 'Bytes'],
    rows: stages.map(({ stage, fromMs, toMs, busyMs, criticalMs, steps, sizeBytes }) => [
      stage,
      formatDuration(fromMs),
      formatDuration(toMs),
      formatDuration(busyMs),
      formatDuration(criticalMs),
      percent(criticalMs / totalMs),
      formatCount(steps),
      sizeBytes > 0 ? formatBytes(sizeBytes) : '-',
    ]),
    caption:
      'Busy: at least one step of the stage runs. On the critical path: steps that delayed each other from the start to the end; ' +
      'without the stage, the update is shorter by at most this time.',
  };
}

function whatIfTable(whatIf: Simulation['whatIf'], totalMs: number): ReportTable {
  const best = whatIf[0]!;
  return {
    title: `What would help most: ${best.change}, ${formatDuration(best.totalMs)} instead of ${formatDuration(totalMs)}`,
    head: ['What if', 'Time', 'Saved', 'Share'],
    rows: whatIf.map(({ change, totalMs: ms, savedMs }) => [
      change,
      formatDuration(ms),
      formatDuration(savedMs),
      percent(savedMs / totalMs),
    ]),
    caption: 'The same plan on a cluster with one improvement. Changes that save nothing are left out.',
  };
}

function linkTable({ links }: SimulationResult): ReportTable {
  const first = links[0];
  return {
    title:
      first === undefined
        ? 'No link carries bytes'
        : `The most used link is ${first.name}, at ${percent(first.utilization)}`,
    head: ['Link', 'Utilization', 'Busy', 'Bytes', 'Rate'],
    rows: links
      .slice(0, MAX_LINKS)
      .map(({ name, utilization, busyMs, sizeBytes, rateGBps }) => [
        name,
        percent(utilization),
        formatDuration(busyMs),
        formatBytes(sizeBytes),
        `${Number(rateGBps.toPrecision(3))} GB/s`,
      ]),
    caption: `Utilization: bytes over what the link could carry in the whole time. ${formatCount(links.length)} links carry bytes; hosts that do the same work are simulated once and share links.`,
  };
}

/** Ranks of one host. All ranks do the broadcasts and reloads of the first one. */
function ranksOf({ steps, stages, memory, cluster }: SimulationResult): RankReport[] {
  const phases = phasesOf(stages);
  const ranks = [...new Set(steps.map(({ rank }) => rank))].sort((a, b) => a - b);
  return ranks.map((rank) => {
    const spans = steps.filter((step) => step.rank === rank);
    const received = spans.filter(({ stage }) => stage === 'reload' || stage === 'pull');
    return {
      rank,
      device: cluster,
      neededBytes: memory.keptBytes,
      receivedBytes: received.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      poolBytes: 0,
      phases,
      spans: spans.map(({ stage, index, fromMs, toMs, sizeBytes }) => ({ stage, index, fromMs, toMs, sizeBytes })),
    };
  });
}

const PHASES: Readonly<Record<string, string>> = {
  meet: 'plan',
  handshake: 'handshake',
  release: 'release',
  hook: 'hook',
};

/** Everything between the handshake and the end is the phase that moves bytes. */
function phasesOf(stages: readonly StageTime[]): RankReport['phases'] {
  const named = stages.filter(({ stage }) => PHASES[stage] !== undefined);
  const moving = stages.filter(({ stage }) => PHASES[stage] === undefined);
  const phases = named.map(({ stage, fromMs, toMs }) => ({ name: PHASES[stage]!, fromMs, toMs }));
  if (moving.length === 0) return phases;
  const fromMs = Math.min(...moving.map((stage) => stage.fromMs));
  const toMs = Math.max(...moving.map((stage) => stage.toMs));
  return [...phases, { name: 'stream', fromMs, toMs }].sort((a, b) => a.fromMs - b.fromMs);
}
