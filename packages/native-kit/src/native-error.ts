import { CheckpointEngineError, type ErrorCode, type ErrorDetails } from '@checkpoint-engine/interface';

/** The properties of errors that an addon based on `ce/failure.h` throws. */
interface NativeFailure extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly op?: string;
  readonly status?: number;
  readonly detail?: string;
  readonly file?: string;
}

function isNativeFailure(value: unknown): value is NativeFailure {
  if (!(value instanceof Error) || CheckpointEngineError.isInstance(value)) return false;
  const { code, hint } = value as Partial<NativeFailure>;
  return typeof code === 'string' && code.startsWith('CE_') && typeof hint === 'string';
}

/**
 * Converts an error of an addon to the error to throw: its failures become {@link CheckpointEngineError}s with
 * the added `details`; the function returns everything else (TypeError, RangeError) unchanged.
 */
export function fromNativeError(error: unknown, details: ErrorDetails = {}): unknown {
  if (!isNativeFailure(error)) return error;
  const { code, message, hint, op, status, detail, file } = error;
  return new CheckpointEngineError(code, message, hint, { op, status, detail, file, ...details });
}

/** Runs a synchronous call of an addon; converts its errors with {@link fromNativeError}. */
export function callNative<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromNativeError(error);
  }
}

/** Awaits an asynchronous call of an addon; converts its errors with {@link fromNativeError}. */
export async function awaitNative<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw fromNativeError(error);
  }
}
