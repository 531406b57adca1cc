import { CheckpointEngineError, toCheckpointEngineError } from '@checkpoint-engine/interface';

/** The error with the rank where it arose, where it does not name one yet. */
export function atRank(error: unknown, rank: number): CheckpointEngineError {
  const known = toCheckpointEngineError(error);
  if (known.rank !== undefined || known.code === 'CE_RANK_LOST') return known;
  return CheckpointEngineError.fromJSON({ ...known.toJSON(), rank });
}
