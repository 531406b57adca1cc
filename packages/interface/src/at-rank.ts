import { CheckpointEngineError, toCheckpointEngineError } from './errors.ts';

/**
 * Adds the rank where an error arose, and keeps its stack and its cause. An error that already names a rank is returned
 * unchanged, and so is the loss of a rank, which all ranks report in the same way.
 */
export function atRank(value: unknown, rank: number): CheckpointEngineError {
  const error = toCheckpointEngineError(value);
  if (error.rank !== undefined || error.code === 'CE_RANK_LOST') return error;
  const { code, message, hint, peer, op, file, tensor, status, detail, retryable, cause, stack } = error;
  const details = { rank, peer, op, file, tensor, status, detail, retryable, cause };
  const placed = new CheckpointEngineError(code, message, hint, details);
  if (stack !== undefined) placed.stack = stack;
  return placed;
}
