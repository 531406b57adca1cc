import type { MiddlewareHandler } from 'hono';
import { RequestError } from './problem.ts';

/** Bodies up to this size are always accepted. */
const SMALL_BYTES = 64 * 2 ** 10;
/** Maximum size of larger bodies that are in memory at a time. */
const BUDGET_BYTES = 64 * 2 ** 20;

/**
 * Limits the memory for the bodies of all requests. A request that does not fit is answered with 503; the client can
 * repeat it a moment later.
 */
export class BodyBudget {
  #takenBytes = 0;

  /** @param maxSize Maximum size of one body. A request without a size counts as this. */
  limit(maxSize: number): MiddlewareHandler {
    return async (context, next) => {
      const declared = Number(context.req.header('content-length') ?? Number.NaN);
      const isChunked = context.req.header('transfer-encoding') !== undefined;
      const sizeBytes = Number.isNaN(declared) ? (isChunked ? maxSize : 0) : declared;
      if (sizeBytes > maxSize) {
        throw new RequestError(
          413,
          `The body has ${sizeBytes} bytes, expected at most ${maxSize}`,
          'Send a smaller body',
        );
      }
      if (sizeBytes <= SMALL_BYTES) {
        await next();
        return;
      }
      if (this.#takenBytes + sizeBytes > BUDGET_BYTES) {
        context.header('retry-after', '1');
        throw new RequestError(503, 'Other requests with large bodies are being read', 'Send it again a moment later');
      }
      this.#takenBytes += sizeBytes;
      try {
        await next();
      } finally {
        this.#takenBytes -= sizeBytes;
      }
    };
  }
}
