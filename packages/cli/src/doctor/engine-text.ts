import type { WorkerDescription } from '@checkpoint-engine/engines';
import { moduleReportText } from '@checkpoint-engine/interface';
import { formatDuration, plural } from '../output/format.ts';
import type { Colors } from '../output/terminal.ts';
import type { EngineDiagnosis } from './diagnose-engine.ts';

/** Modules that are shown by name. The JSON has up to 100 for each worker. */
const SHOWN_MODULES = 10;

/** Formats the descriptions of engines as text. */
export function enginesText(diagnoses: readonly EngineDiagnosis[], colors: Colors): string {
  return diagnoses.map((diagnosis) => engineText(diagnosis, colors)).join('\n\n');
}

function engineText(
  { engine, endpoint, receiver, summary, hint, pulls, workers }: EngineDiagnosis,
  colors: Colors,
): string {
  const mark = pulls ? colors.green('✓') : colors.yellow('!');
  return [
    `${mark} ${colors.bold(`${engine} at ${endpoint}`)}: ${receiver ?? 'no receiver of this project'}`,
    `  ${summary}`,
    ...groups(workers).flatMap(({ indexes, worker }) => workerLines(indexes, worker, workers.length, colors)),
    ...(hint === undefined ? [] : [`  ${colors.dim('→')} ${hint}`]),
  ].join('\n');
}

interface Group {
  readonly indexes: readonly number[];
  readonly worker: WorkerDescription;
}

/** Groups workers with equal descriptions. */
function groups(workers: readonly WorkerDescription[]): Group[] {
  const byText = new Map<string, { indexes: number[]; worker: WorkerDescription }>();
  for (const [index, worker] of workers.entries()) {
    const key = `${decision(worker)}\n${state(worker)}`;
    const group = byText.get(key) ?? { indexes: [], worker };
    group.indexes.push(index);
    byText.set(key, group);
  }
  return [...byText.values()];
}

function workerLines(
  indexes: readonly number[],
  worker: WorkerDescription,
  count: number,
  { bold, dim }: Colors,
): string[] {
  const who = indexes.length === count && count > 1 ? `all ${count} workers` : `worker ${indexes.join(', ')}`;
  const { modules, engine } = worker;
  const reasons = modules?.reasons ?? [];
  const more = reasons.length - SHOWN_MODULES;
  return [
    `  ${bold(who)}: ${decision(worker)}`,
    ...(engine === undefined ? [] : [`    ${dim(engine)}`]),
    `    ${dim(state(worker))}`,
    ...(modules === undefined
      ? []
      : [
          `    ${dim(`recorded in ${formatDuration(modules.recordedMs)}, compared in ${formatDuration(modules.provedMs)}`)}`,
        ]),
    ...reasons.slice(0, SHOWN_MODULES).map(({ module, reason }) => `    ${module}: ${reason}`),
    ...(more > 0 ? [`    and ${plural(more, 'more module')}: --json lists them`] : []),
  ];
}

const DECISIONS: Record<WorkerDescription['pull'], string> = {
  never: 'receives every tensor in buckets, and does not pull',
  unrecorded: 'has not recorded what it keeps yet: it does so in its next update, or when metas are gathered',
  unproved: 'has recorded what it keeps, and compares it after its next update',
  pulls: 'pulls',
  unreported: 'does not report how it receives weights',
};

function decision({ pull, modules }: WorkerDescription): string {
  return modules === undefined || pull === 'never' ? DECISIONS[pull] : moduleReportText(modules);
}

function state({ weights, checkpoint }: WorkerDescription): string {
  if (weights === 'loaded' && checkpoint !== undefined) return `holds checkpoint "${checkpoint}"`;
  return `weights: ${weights ?? 'not reported'}`;
}
