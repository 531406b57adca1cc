import { type SerializedError, toCheckpointEngineError } from '@checkpoint-engine/interface';

const MAX_TEXT = 16_384;
const MAX_CAUSES = 8;

/** Converts an error for other ranks: adds the rank where it occurred, and shortens it to fit into one frame. */
export function toWireError(error: Error, rank: number): SerializedError {
  const data = toCheckpointEngineError(error).toJSON();
  return bounded({ ...data, rank: data.rank ?? rank }, MAX_CAUSES);
}

function bounded(error: SerializedError, causes: number): SerializedError {
  const { message, detail, cause } = error;
  return {
    ...error,
    message: message.slice(0, MAX_TEXT),
    detail: detail?.slice(0, MAX_TEXT),
    cause: cause === undefined || causes === 0 ? undefined : bounded(cause, causes - 1),
  };
}
