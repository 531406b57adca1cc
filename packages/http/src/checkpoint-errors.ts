import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** The error of a request for a checkpoint that an update uses. */
export function checkpointBusy(name: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CHECKPOINT_BUSY',
    `An update of checkpoint "${name}" is running`,
    'Try again when the update is over, or cancel it with DELETE /v1/updates/{id}',
    { retryable: true },
  );
}

/** The error that ends the registration of a checkpoint that is deleted. */
export function checkpointDeleted(name: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_ABORTED',
    `Checkpoint "${name}" was deleted during its registration`,
    'Register it again',
  );
}
