import { CheckpointEngineError, type SerializedError } from '@checkpoint-engine/interface';

/** Maximum length of an error's text in characters: an error must fit into a frame. */
const LONGEST_TEXT = 64 * 1024;

/** Converts an exception of the engine's code to the error that ends the update. */
export function asWorkerError(thrown: unknown): CheckpointEngineError {
  if (CheckpointEngineError.isInstance(thrown)) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  return new CheckpointEngineError('CE_WORKER_FAILED', error.message, 'Check the stack in detail', {
    detail: error.stack,
    cause: thrown,
  });
}

/** The error for the parameter server: with its stack in `detail`, without its chain of causes. */
export function toWire(error: CheckpointEngineError): SerializedError {
  const { message, detail, ...known } = error.toJSON();
  return {
    ...known,
    cause: undefined,
    message: message.slice(0, LONGEST_TEXT),
    detail: (error.cause instanceof Error ? detail : [detail, error.stack].filter(Boolean).join('\n'))?.slice(
      0,
      LONGEST_TEXT,
    ),
  };
}
