import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** The error of a flag, a variable or a request that does not fit the others. */
export function configError(what: string, hint: string): CheckpointEngineError {
  return new CheckpointEngineError('CE_CONFIG_INVALID', what, hint);
}
