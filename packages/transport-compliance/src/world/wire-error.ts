import { CheckpointEngineError, type SerializedError } from '@checkpoint-engine/interface';

/** An error on its way from a member's process to the test's. */
export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string | undefined;
  readonly serialized?: SerializedError | undefined;
}

/** Makes any error plain data. */
export function toWire(thrown: unknown): WireError {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const serialized = CheckpointEngineError.isInstance(error) ? error.toJSON() : undefined;
  return { name: error.name, message: error.message, stack: error.stack, serialized };
}

/** The error as tests expect it: of the class that the member saw. */
export function fromWire({ name, message, stack, serialized }: WireError): Error {
  if (serialized !== undefined) return CheckpointEngineError.fromJSON(serialized);
  const Class = name === 'RangeError' ? RangeError : name === 'TypeError' ? TypeError : Error;
  const error = new Class(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
