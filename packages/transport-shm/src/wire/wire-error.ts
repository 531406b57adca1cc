import { CheckpointEngineError, type SerializedError, toCheckpointEngineError } from '@checkpoint-engine/interface';

const mostText = 16_384;
const mostCauses = 8;

/** The serialized form of an error for another member; misuse stays misuse. */
export interface WireError {
  readonly rangeError?: string;
  readonly error?: SerializedError;
}

/** Converts any error to plain data that fits into a frame. */
export function toWireError(error: Error): WireError {
  return error instanceof RangeError
    ? { rangeError: error.message.slice(0, mostText) }
    : { error: bounded(toCheckpointEngineError(error).toJSON(), mostCauses) };
}

/** Restores an error from another member, from arbitrary data. */
export function fromWireError({ rangeError, error }: WireError): Error {
  if (error !== undefined) return CheckpointEngineError.fromJSON(error);
  return new RangeError(typeof rangeError === 'string' ? rangeError : 'A member failed without a reason');
}

function bounded(error: SerializedError, causes: number): SerializedError {
  const { message, detail, cause } = error;
  return {
    ...error,
    message: message.slice(0, mostText),
    detail: detail?.slice(0, mostText),
    cause: cause === undefined || causes === 0 ? undefined : bounded(cause, causes - 1),
  };
}
