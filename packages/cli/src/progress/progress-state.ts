import type { ProgressEvent, Stage, UpdatePhase } from '@checkpoint-engine/ps';

/** Where a world is, slowest rank first. `register` comes before the update's own phases. */
export type WorldPhase = 'register' | UpdatePhase;

/** Phases in their order. */
export const PHASES: readonly WorldPhase[] = ['register', 'plan', 'handshake', 'stream', 'release', 'hook', 'done'];

/** What has passed a stage, of all ranks together. */
export interface StageProgress {
  readonly doneBytes: number;
  readonly startedAtMs: number;
  readonly lastAtMs: number;
}

type PlanEvent = Extract<ProgressEvent, { type: 'plan' }>;

/** How far an update is, put together from the events of its ranks. Immutable. */
export interface ProgressState {
  /** Ranks whose events are seen. */
  readonly rankCount: number;
  readonly phaseOf: ReadonlyMap<number, WorldPhase>;
  readonly registered: ReadonlyMap<number, { readonly doneBytes: number; readonly totalBytes: number }>;
  readonly plan?: PlanEvent | undefined;
  readonly stages: Readonly<Partial<Record<Stage, StageProgress>>>;
}

/** Nothing has happened. */
export function startProgress(rankCount: number): ProgressState {
  return { rankCount, phaseOf: new Map(), registered: new Map(), stages: {} };
}

/** The state after an event. Events of one rank come in order, those of several ranks in any. */
export function reduceProgress(state: ProgressState, event: ProgressEvent): ProgressState {
  switch (event.type) {
    case 'phase':
      return { ...state, phaseOf: new Map(state.phaseOf).set(event.rank, event.phase) };
    case 'register': {
      const { rank, doneBytes, totalBytes } = event;
      return {
        ...advance(state, 'read', 0, event.atMs),
        phaseOf: new Map(state.phaseOf).set(rank, 'register'),
        registered: new Map(state.registered).set(rank, { doneBytes, totalBytes }),
      };
    }
    case 'plan':
      return { ...state, plan: event };
    case 'bucket-start':
      return advance(state, event.stage, 0, event.atMs);
    case 'bucket-end':
      return advance(state, event.stage, event.sizeBytes, event.atMs);
  }
}

/** The phase that every rank has reached. */
export function worldPhase({ phaseOf, rankCount }: ProgressState): WorldPhase {
  const reached = [...phaseOf.values()].map((phase) => PHASES.indexOf(phase));
  const least = phaseOf.size < rankCount ? 0 : Math.min(...reached);
  return PHASES[least]!;
}

function advance(state: ProgressState, stage: Stage, sizeBytes: number, atMs: number): ProgressState {
  const before = state.stages[stage] ?? { doneBytes: 0, startedAtMs: atMs, lastAtMs: atMs };
  const next = {
    doneBytes: before.doneBytes + sizeBytes,
    startedAtMs: Math.min(before.startedAtMs, atMs),
    lastAtMs: Math.max(before.lastAtMs, atMs),
  };
  return { ...state, stages: { ...state.stages, [stage]: next } };
}
