import { version } from 'node:process';
import type { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import type { RankReport, ReportedUpdate } from '@checkpoint-engine/report';
import type { RankDevice } from '../process/messages.ts';
import { type Span, spansOf } from '../trace/spans.ts';
import type { InstanceVersion } from './instance-versions.ts';

/** An update that has ended, with the events of the ranks that this process runs or supervises. */
export interface EndedUpdate {
  readonly title: string;
  readonly outcome: ReportedUpdate['outcome'];
  readonly error?: CheckpointEngineError | undefined;
  readonly events: readonly ProgressEvent[];
  /** By rank. */
  readonly devices: ReadonlyMap<number, RankDevice | undefined>;
  /** Host memory by rank, if known. */
  readonly poolBytes: ReadonlyMap<number, number>;
  readonly warnings: readonly string[];
  /** Version of the update, if it is known. */
  readonly weightVersion?: string | undefined;
  /** The instances that received a request. */
  readonly instances: readonly InstanceVersion[];
}

type PlanEvent = Extract<ProgressEvent, { type: 'plan' }>;

/** Collects the events of an update for its page. */
export function reportedUpdate(update: EndedUpdate): ReportedUpdate {
  const { title, outcome, error, events, devices, poolBytes, warnings } = update;
  const spans = spansOf(events);
  const originMs = Math.min(...events.map(({ atMs }) => atMs), ...spans.map(({ startMs }) => startMs));
  const plans = new Map(
    events.filter((event): event is PlanEvent => event.type === 'plan').map((one) => [one.rank, one]),
  );
  const known = new Set([...devices.keys(), ...events.map(({ rank }) => rank)]);
  const [plan] = plans.values();
  return {
    title,
    outcome,
    error: error && { code: error.code, what: error.message, hint: error.hint },
    date: new Date(Number.isFinite(originMs) ? originMs : Date.now()).toISOString(),
    facts: [
      ...versionFacts(update),
      ...(plan === undefined ? [] : planFacts(plan)),
      ['Ranks', String(known.size)],
      ['Node.js', version],
    ],
    totalBytes: plan?.totalBytes ?? 0,
    deviceBytes: Math.max(0, ...[...plans.values()].map(({ deviceBytes }) => deviceBytes)),
    warnings,
    ranks: [...known]
      .toSorted((a, b) => a - b)
      .map((rank) => ({
        rank,
        device: devices.get(rank)?.name ?? 'unknown',
        neededBytes: plans.get(rank)?.neededBytes ?? 0,
        poolBytes: poolBytes.get(rank) ?? 0,
        ...timesOf(
          spans.filter((span) => span.rank === rank),
          originMs,
        ),
      })),
  };
}

/** The version of the update, and for each instance the previous and the new version. */
function versionFacts({ weightVersion, instances }: EndedUpdate): [string, string][] {
  return [
    ...(weightVersion === undefined ? [] : [['Weight version', weightVersion] as [string, string]]),
    ...instances.map(({ endpoint, weightVersionBefore, weightVersion: after }): [string, string] => [
      `Version at ${endpoint}`,
      `${weightVersionBefore} before, ${after} after`,
    ]),
  ];
}

function planFacts({ bucketCount, bucketBytes, method, methodReason, reason }: PlanEvent): [string, string][] {
  return [
    ['Method', methodReason === '' ? method : `${method}: ${methodReason}`],
    ['Buckets', bucketCount === 0 ? 'none' : `${bucketCount} of at most ${(bucketBytes / 2 ** 20).toFixed(0)} MiB`],
    ...(reason === '' ? [] : [['Sizes', reason] as [string, string]]),
  ];
}

function timesOf(spans: readonly Span[], originMs: number): Pick<RankReport, 'phases' | 'spans' | 'receivedBytes'> {
  const stages = spans.filter(({ row }) => row !== 'phases');
  return {
    phases: spans
      .filter(({ row }) => row === 'phases')
      .map(({ name, startMs, endMs }) => ({ name, fromMs: startMs - originMs, toMs: endMs - originMs })),
    spans: stages.map(({ row, index = 0, startMs, endMs, sizeBytes = 0 }) => {
      return { stage: row, index, fromMs: startMs - originMs, toMs: endMs - originMs, sizeBytes };
    }),
    receivedBytes: stages
      .filter(({ row }) => row === 'reload' || row === 'pull')
      .reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0),
  };
}
