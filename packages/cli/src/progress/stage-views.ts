import type { Stage } from '@checkpoint-engine/ps';
import type { ProgressState } from './progress-state.ts';

/** A stage as people see it: bytes of the checkpoint, whatever the number of ranks. */
export interface StageView {
  readonly stage: Stage;
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** 1 GBps is 1e9 bytes a second; `undefined` before anything has passed. */
  readonly rateGBps?: number | undefined;
  /** Until the stage is through, at the rate so far. */
  readonly leftMs?: number | undefined;
}

/** Before this, a rate says nothing. */
const LEAST_MS = 20;

/**
 * The stages that this update has, in their order. A byte is copied to a device by one rank, but it is broadcast and
 * reloaded when every rank has it.
 */
export function stageViews(state: ProgressState): StageView[] {
  const registered = registerView(state);
  const views = [registered];
  const { plan, rankCount, stages } = state;
  if (plan) {
    const { totalBytes } = plan;
    const paddedBytes = Math.max(totalBytes, 1);
    const view = (stage: Stage, receivers: number): StageView | undefined => {
      const passed = stages[stage];
      if (!passed) return undefined;
      // Buckets carry alignment beside the tensors' bytes.
      const doneBytes = Math.min(passed.doneBytes / receivers, paddedBytes);
      return timed(stage, doneBytes, totalBytes, passed.lastAtMs - passed.startedAtMs);
    };
    // Files that stream are read during the update: each byte by one rank.
    if (registered === undefined) views.push(view('read', 1));
    views.push(view('h2d', 1), view('broadcast', rankCount), view('reload', rankCount));
  }
  return views.filter((view) => view !== undefined);
}

function registerView({ registered, phaseOf, stages }: ProgressState): StageView | undefined {
  const read = stages.read;
  if (!read || registered.size === 0) return undefined;
  let doneBytes = 0;
  let totalBytes = 0;
  for (const [rank, own] of registered) {
    // Totals count alignment that nothing is read for.
    doneBytes += phaseOf.get(rank) === 'register' ? own.doneBytes : own.totalBytes;
    totalBytes += own.totalBytes;
  }
  return timed('read', doneBytes, totalBytes, read.lastAtMs - read.startedAtMs);
}

function timed(stage: Stage, doneBytes: number, totalBytes: number, durationMs: number): StageView {
  if (durationMs < LEAST_MS || doneBytes === 0) return { stage, doneBytes, totalBytes };
  const rate = doneBytes / durationMs;
  return { stage, doneBytes, totalBytes, rateGBps: rate / 1e6, leftMs: Math.max(0, totalBytes - doneBytes) / rate };
}
