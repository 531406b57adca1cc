import type { ProgressEvent, Stage, UpdatePhase } from '@checkpoint-engine/ps';

/** The phase of a world, which is that of its slowest rank. `register` comes before the update's own phases. */
export type WorldPhase = 'register' | UpdatePhase;

/** The phases in order. */
export const PHASES: readonly WorldPhase[] = ['register', 'plan', 'handshake', 'stream', 'release', 'hook', 'done'];

/** The time of a start, and of the last progress. */
export interface Span {
  readonly startedAtMs: number;
  readonly lastAtMs: number;
}

/** The bytes that one rank has moved through a stage. */
export interface StageProgress extends Span {
  readonly doneBytes: number;
}

/** The progress of one rank in the current update. */
export interface RankProgress {
  /** The total for each stage. */
  readonly plannedBytes?: Readonly<Record<Stage, number>> | undefined;
  readonly stages: Readonly<Partial<Record<Stage, StageProgress>>>;
}

/** The progress of an update, computed from the events of its ranks. Immutable. */
export interface ProgressState {
  /** Ranks whose events arrive here. */
  readonly rankCount: number;
  readonly phaseOf: ReadonlyMap<number, WorldPhase>;
  readonly registered: ReadonlyMap<number, { readonly doneBytes: number; readonly totalBytes: number }>;
  readonly registering?: Span | undefined;
  readonly ranks: ReadonlyMap<number, RankProgress>;
}

/** The state before any event. */
export function startProgress(rankCount: number): ProgressState {
  return { rankCount, phaseOf: new Map(), registered: new Map(), ranks: new Map() };
}

/** Returns the state after an event. Events of one rank arrive in order, those of several ranks in any order. */
export function reduceProgress(state: ProgressState, event: ProgressEvent): ProgressState {
  switch (event.type) {
    case 'phase':
      return {
        // A command may run several updates.
        ...(event.phase === 'plan' ? withRank(state, event.rank, { stages: {} }) : state),
        phaseOf: new Map(state.phaseOf).set(event.rank, event.phase),
      };
    case 'register': {
      const { rank, doneBytes, totalBytes } = event;
      return {
        ...state,
        registering: extended(state.registering, event.atMs),
        phaseOf: new Map(state.phaseOf).set(rank, 'register'),
        registered: new Map(state.registered).set(rank, { doneBytes, totalBytes }),
      };
    }
    case 'plan':
      return withRank(state, event.rank, { ...partOf(state, event.rank), plannedBytes: event.stageBytes });
    case 'bucket-start':
      return advance(state, event, 0);
    case 'bucket-end':
      return advance(state, event, event.sizeBytes);
    case 'version':
      return state;
  }
}

/** The phase that every rank has reached. */
export function worldPhase({ phaseOf, rankCount }: ProgressState): WorldPhase {
  const reached = [...phaseOf.values()].map((phase) => PHASES.indexOf(phase));
  const least = phaseOf.size < rankCount ? 0 : Math.min(...reached);
  return PHASES[least]!;
}

type BucketEvent = Extract<ProgressEvent, { type: 'bucket-start' | 'bucket-end' }>;

function advance(state: ProgressState, { rank, stage, atMs }: BucketEvent, sizeBytes: number): ProgressState {
  const part = partOf(state, rank);
  const before = part.stages[stage];
  const next = { ...extended(before, atMs), doneBytes: (before?.doneBytes ?? 0) + sizeBytes };
  return withRank(state, rank, { ...part, stages: { ...part.stages, [stage]: next } });
}

function partOf({ ranks }: ProgressState, rank: number): RankProgress {
  return ranks.get(rank) ?? { stages: {} };
}

function withRank(state: ProgressState, rank: number, part: RankProgress): ProgressState {
  return { ...state, ranks: new Map(state.ranks).set(rank, part) };
}

function extended(span: Span | undefined, atMs: number): Span {
  if (span === undefined) return { startedAtMs: atMs, lastAtMs: atMs };
  return { startedAtMs: Math.min(span.startedAtMs, atMs), lastAtMs: Math.max(span.lastAtMs, atMs) };
}
