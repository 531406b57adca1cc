import type { MiddlewareHandler } from 'hono';
import { RequestError } from './problem.ts';

/** Bodies up to this size are always taken. */
const SMALL_BYTES = 64 * 2 ** 10;
/** Most bytes of larger bodies that are in memory at a time. */
const BUDGET_BYTES = 64 * 2 ** 20;

/**
 * Bounds the memory that bodies of requests take together. A request that does not fit is answered 503, and can be sent
 * again a moment later.
 */
export class BodyBudget {
  #takenBytes = 0;

  /** @param maxSize Most bytes of one body: what a request counts as that does not tell its size. */
  limit(maxSize: number): MiddlewareHandler {
    return async (context, next) => {
      const declared = Number(context.req.header('content-length') ?? Number.NaN);
      const isChunked = context.req.header('transfer-encoding') !== undefined;
      const sizeBytes = Number.isNaN(declared) ? (isChunked ? maxSize : 0) : declared;
      if (sizeBytes > maxSize) {
        throw new RequestError(413, `The body has ${sizeBytes} bytes, expected at most ${maxSize}`, 'Send less');
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
