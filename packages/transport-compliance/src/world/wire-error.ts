import { CheckpointEngineError, type SerializedError } from '@checkpoint-engine/interface';

/** The serialized form of an error from a member's process. */
export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string | undefined;
  readonly serialized?: SerializedError | undefined;
}

/** Converts any error to plain data. */
export function toWire(thrown: unknown): WireError {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const serialized = CheckpointEngineError.isInstance(error) ? error.toJSON() : undefined;
  return { name: error.name, message: error.message, stack: error.stack, serialized };
}

/** Restores the error with the class that the member saw. */
export function fromWire({ name, message, stack, serialized }: WireError): Error {
  if (serialized !== undefined) return CheckpointEngineError.fromJSON(serialized);
  const Class = name === 'RangeError' ? RangeError : name === 'TypeError' ? TypeError : Error;
  const error = new Class(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
