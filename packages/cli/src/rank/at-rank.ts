import { CheckpointEngineError, toCheckpointEngineError } from '@checkpoint-engine/interface';

/** The error as one that arose at `rank`, unless it says another. Keeps the stack. */
export function atRank(value: unknown, rank: number): CheckpointEngineError {
  const error = toCheckpointEngineError(value);
  if (error.rank !== undefined) return error;
  const placed = CheckpointEngineError.fromJSON({ ...error.toJSON(), rank });
  if (error.stack) placed.stack = error.stack;
  return placed;
}
