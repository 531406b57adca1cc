import { CheckpointEngineError, type SerializedError, toCheckpointEngineError } from '@checkpoint-engine/interface';

/** An error on its way to another member; misuse stays misuse. */
export interface WireError {
  readonly rangeError?: string;
  readonly error?: SerializedError;
}

/** Makes any error plain data. */
export function toWireError(error: Error): WireError {
  return error instanceof RangeError
    ? { rangeError: error.message }
    : { error: toCheckpointEngineError(error).toJSON() };
}

/** The error that a member sent. */
export function fromWireError({ rangeError, error }: WireError): Error {
  if (error !== undefined) return CheckpointEngineError.fromJSON(error);
  return new RangeError(rangeError ?? 'A member failed without saying why');
}
