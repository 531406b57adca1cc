import { CheckpointEngineError } from '../errors.ts';

/** The first words with which a worker reports that the parameter server ended its update. */
export const ENDED_BY_SERVER = 'The parameter server ended the update';

/**
 * Whether a failure only repeats a failure that a parameter server sent to a worker. For example, an engine's request
 * fails because another rank ended the update; the reason is the failure of that rank.
 */
export function isRepeatedFailure(error: CheckpointEngineError): boolean {
  const { code, message, detail, cause } = error;
  if (code === 'CE_REMOTE_FAILED') return true;
  if ([message, detail].some((text) => text?.includes(ENDED_BY_SERVER) || text?.includes('CE_REMOTE_FAILED'))) {
    return true;
  }
  return CheckpointEngineError.isInstance(cause) && isRepeatedFailure(cause);
}
