import { CheckpointEngineError, toCheckpointEngineError } from './errors.ts';

/**
 * The error with the rank where it arose, and with the stack and the cause that it has. An error that names a rank is
 * returned as it is, and so is the loss of a rank, which every rank reports alike.
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
