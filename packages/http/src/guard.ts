import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { RequestError } from './problem.ts';

/**
 * Probes have no token, and browsers cannot send one with a link. These paths reveal whether all is well, and what any
 * copy of the package documents.
 */
const OPEN_PATHS: ReadonlySet<string> = new Set(['/v1/healthz', '/v1/readyz', '/docs']);

const UNAUTHENTICATED = 'isUnauthenticated';

/** Whether a request lacks the token that the server requires. */
export function isUnauthenticated(context: Context): boolean {
  return context.get(UNAUTHENTICATED) === true;
}

/** Accepts requests with the token in `Authorization: Bearer`. The token is compared in constant time. */
export function tokenGuard(token: string): MiddlewareHandler {
  const wanted = digest(`Bearer ${token}`);
  return async (context, next) => {
    const given = context.req.header('authorization') ?? '';
    const isKnown = timingSafeEqual(digest(given), wanted);
    if (!isKnown) context.set(UNAUTHENTICATED, true);
    if (!isKnown && !OPEN_PATHS.has(context.req.path)) {
      context.header('WWW-Authenticate', 'Bearer');
      throw new RequestError(
        401,
        'The request has no valid token',
        'Send the value of CHECKPOINT_ENGINE_TOKEN as "Authorization: Bearer"',
        'CE_TOKEN_REFUSED',
      );
    }
    await next();
  };
}

/**
 * Rejects requests from web pages at a server without a token. A page can make a browser on this host send requests to
 * the server, with the page's own `Origin`, or with a `Host` of the page that resolves to this host (DNS rebinding).
 */
export const browserGuard: MiddlewareHandler = async (context, next) => {
  const host = context.req.header('host') ?? '';
  if (host !== '' && !isLoopbackHost(host)) {
    throw new RequestError(
      421,
      `The request is for host "${host}", which is not a name of this server`,
      'Use localhost or 127.0.0.1, or start the server with a token',
    );
  }
  const origin = context.req.header('origin');
  if (origin !== undefined && origin !== `http://${host}`) {
    throw new RequestError(403, `Requests from the web page ${origin} are rejected`, 'Start the server with a token');
  }
  await next();
};

/** `localhost`, `127.x.x.x` and `[::1]`, with or without a port. */
function isLoopbackHost(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(host);
}

function digest(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}
