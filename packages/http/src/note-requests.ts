import type { Logger } from '@checkpoint-engine/interface';
import type { MiddlewareHandler } from 'hono';
import type { Metrics } from './metrics.ts';

/** Maximum length of a client's User-Agent in the log. */
const MAX_AGENT = 120;

/** Counts and logs each request. @param rank The rank whose routes these are. @default those of the whole world */
export function noteRequests(metrics: Metrics, logger: Logger, rank?: number): MiddlewareHandler {
  return async (request, next) => {
    const startedAtMs = performance.now();
    await next();
    const { method, path } = request.req;
    const status = request.res.status;
    const route = status === 404 ? 'unknown' : request.req.routePath;
    const durationMs = performance.now() - startedAtMs;
    metrics.noteRequest({ method, route, status }, durationMs);
    // Requests for changes are logged; probes and queries are not.
    const level = method === 'POST' || method === 'DELETE' ? 'info' : 'debug';
    const agent = request.req.header('user-agent')?.slice(0, MAX_AGENT);
    const about = { method, path, status, durationMs: Math.round(durationMs), client: clientOf(request.env), agent };
    logger[level](rank === undefined ? about : { rank, ...about }, 'Answered a request');
  };
}

/** The address of a client, if the server of Node.js reports it. A client on a Unix socket has none. */
function clientOf(env: unknown): string | undefined {
  const { incoming } = Object(env) as { incoming?: { socket?: { remoteAddress?: string | undefined } } };
  return incoming?.socket && (incoming.socket.remoteAddress ?? 'Unix socket');
}
