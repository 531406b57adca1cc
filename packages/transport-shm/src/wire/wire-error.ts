import { CheckpointEngineError, type SerializedError, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { boundError } from '@checkpoint-engine/interface/wire';

const maxText = 16_384;

/** The serialized form of an error for another member; misuse stays misuse. */
export interface WireError {
  readonly rangeError?: string;
  readonly error?: SerializedError;
}

/** Converts any error to plain data that fits into a frame. */
export function toWireError(error: Error): WireError {
  return error instanceof RangeError
    ? { rangeError: error.message.slice(0, maxText) }
    : { error: boundError(toCheckpointEngineError(error).toJSON()) };
}

/** Restores an error from another member, from arbitrary data. */
export function fromWireError({ rangeError, error }: WireError): Error {
  if (error !== undefined) return CheckpointEngineError.fromJSON(error);
  return new RangeError(typeof rangeError === 'string' ? rangeError : 'A member failed without a reason');
}
