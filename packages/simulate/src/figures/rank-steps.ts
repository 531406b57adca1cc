import type { Task } from '../engine/task.ts';
import type { RankStep } from '../result.ts';

/** Stages of a bucket or a chunk on a rank. */
const SHOWN = new Set(['read', 'h2d', 'broadcast', 'reload', 'pull']);

/** Steps of some ranks in order of time. The broadcasts and reloads of one rank represent those of all. */
export function rankSteps(tasks: readonly Task[], ranks: readonly number[]): RankStep[] {
  const shown = new Set(ranks);
  const first = ranks[0] ?? 0;
  return tasks
    .filter(({ stage, rank }) => SHOWN.has(stage) && (shown.has(rank) || stage === 'broadcast'))
    .map(({ stage, rank, index, startMs, endMs, sizeBytes }) => ({
      rank: stage === 'broadcast' ? first : rank,
      stage,
      index,
      fromMs: startMs,
      toMs: endMs,
      sizeBytes,
    }))
    .sort((a, b) => a.fromMs - b.fromMs);
}
