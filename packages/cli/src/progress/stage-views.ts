import type { Stage } from '@checkpoint-engine/ps';
import type { ProgressState, RankProgress, Span } from './progress-state.ts';

/** A stage as shown to users: bytes of the checkpoint, independent of the number of ranks. */
export interface StageView {
  readonly stage: Stage;
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** In units of 1e9 bytes per second; `undefined` before the first data. */
  readonly rateGBps?: number | undefined;
  /** Estimated time to the end of the stage, at the rate so far. */
  readonly leftMs?: number | undefined;
}

/** Before this time, a rate is not meaningful. */
const MIN_MS = 20;

/**
 * Returns the stages of this update in order, over all ranks together. Reading during the update replaces reading
 * before it.
 */
export function stageViews(state: ProgressState): StageView[] {
  const ranks = [...state.ranks.values()];
  const broadcasts = ranks.some(({ plannedBytes }) => plannedBytes !== undefined && plannedBytes.broadcast > 0);
  const views = [
    planView(ranks, 'read', broadcasts) ?? registerView(state),
    planView(ranks, 'h2d', broadcasts),
    planView(ranks, 'broadcast', false),
    planView(ranks, 'reload', false),
    planView(ranks, 'pull', true),
  ];
  return views.filter((view) => view !== undefined);
}

/** The stages of an update in which several ranks receive, used until the plan is known. */
const USUAL: readonly Stage[] = ['read', 'h2d', 'broadcast', 'reload'];
const IN_ORDER: readonly Stage[] = [...USUAL, 'pull'];

/**
 * All stages of this update in their order, those that no byte has reached included. Until the ranks have planned,
 * these are the usual ones.
 */
export function pipelineViews(state: ProgressState): StageView[] {
  const views = new Map(stageViews(state).map((view) => [view.stage, view]));
  const planned = [...state.ranks.values()].flatMap(({ plannedBytes }) => plannedBytes ?? []);
  const isExpected = (stage: Stage): boolean =>
    planned.length === 0
      ? USUAL.includes(stage) && (stage !== 'broadcast' || state.rankCount > 1)
      : planned.some((bytes) => bytes[stage] > 0);
  return IN_ORDER.filter((stage) => views.has(stage) || isExpected(stage)).map(
    (stage) => views.get(stage) ?? { stage, doneBytes: 0, totalBytes: 0 },
  );
}

/** @param isShared Each rank has its own data, and all of it passes once. Otherwise all ranks have the same data. */
function planView(ranks: readonly RankProgress[], stage: Stage, isShared: boolean): StageView | undefined {
  const parts = ranks.flatMap(({ plannedBytes, stages }) => {
    const totalBytes = plannedBytes?.[stage] ?? 0;
    return totalBytes > 0 ? [{ totalBytes, passed: stages[stage] }] : [];
  });
  const passed = parts.flatMap((part) => part.passed ?? []);
  if (passed.length === 0) return undefined;
  const copies = isShared ? 1 : parts.length;
  // Workers may load more than once.
  const doneBytes = parts.reduce((sum, part) => sum + Math.min(part.passed?.doneBytes ?? 0, part.totalBytes), 0);
  const totalBytes = parts.reduce((sum, part) => sum + part.totalBytes, 0);
  const startedAtMs = Math.min(...passed.map((part) => part.startedAtMs));
  const lastAtMs = Math.max(...passed.map((part) => part.lastAtMs));
  return timed(stage, doneBytes / copies, totalBytes / copies, { startedAtMs, lastAtMs });
}

function registerView({ registered, registering, phaseOf }: ProgressState): StageView | undefined {
  if (registering === undefined) return undefined;
  let doneBytes = 0;
  let totalBytes = 0;
  for (const [rank, own] of registered) {
    // Totals include padding, which is not read.
    doneBytes += phaseOf.get(rank) === 'register' ? own.doneBytes : own.totalBytes;
    totalBytes += own.totalBytes;
  }
  return timed('read', doneBytes, totalBytes, registering);
}

function timed(stage: Stage, doneBytes: number, totalBytes: number, { startedAtMs, lastAtMs }: Span): StageView {
  const durationMs = lastAtMs - startedAtMs;
  if (durationMs < MIN_MS || doneBytes === 0) return { stage, doneBytes, totalBytes };
  const rate = doneBytes / durationMs;
  return { stage, doneBytes, totalBytes, rateGBps: rate / 1e6, leftMs: Math.max(0, totalBytes - doneBytes) / rate };
}
