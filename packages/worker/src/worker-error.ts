import { CheckpointEngineError, type SerializedError } from '@checkpoint-engine/interface';

/** Longest text of an error that is sent, in characters: an error has to fit into a frame. */
const LONGEST_TEXT = 64 * 1024;

/** What the engine's code threw, as the error that ends the update. */
export function asWorkerError(thrown: unknown): CheckpointEngineError {
  if (CheckpointEngineError.isInstance(thrown)) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  return new CheckpointEngineError('CE_WORKER_FAILED', error.message, 'Look at the stack in detail', {
    detail: error.stack,
    cause: thrown,
  });
}

/** An error as the parameter server is told it: with its stack in `detail`, without its chain of causes. */
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
