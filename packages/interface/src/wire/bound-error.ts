import type { SerializedError } from '../errors.ts';

const MAX_TEXT = 16_384;
const MAX_CAUSES = 8;

/** Shortens the texts of an error, and drops the causes beyond the eighth, so that it fits into a frame. */
export function boundError(error: SerializedError, causes: number = MAX_CAUSES): SerializedError {
  const { message, hint, detail, cause } = error;
  return {
    ...error,
    message: message.slice(0, MAX_TEXT),
    hint: hint.slice(0, MAX_TEXT),
    detail: detail?.slice(0, MAX_TEXT),
    cause: cause === undefined || causes === 0 ? undefined : boundError(cause, causes - 1),
  };
}
