import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { type SSEStreamingApi, streamSSE } from 'hono/streaming';
import { updateJson } from '../json.ts';
import { problems } from '../openapi.ts';
import { updatePath } from '../paths.ts';
import { RequestError } from '../problem.ts';
import type { UpdateRecord } from '../update-record.ts';
import type { RouteContext } from './context.ts';

/** Interval of progress events. */
const EVERY_MS = 200;
/** Interval of messages without progress, so that proxies keep the connection. */
const ALIVE_MS = 15_000;
/** Maximum number of streams at a time: each of them holds a connection. */
const MAX_STREAMS = 256;

/**
 * An update's progress as server-sent events. Each event contains the complete current state: a client that reads
 * slowly misses some states, and none are queued for it.
 */
export function eventRoutes(app: OpenAPIHono, { updates, closing }: RouteContext): void {
  let streamCount = 0;
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/updates/{id}/events',
      operationId: 'followUpdate',
      summary: 'Follow an update: server-sent events',
      description: 'Sends events "progress", and "end" as the last one; the data of both is an UpdateStatus.',
      tags: ['updates'],
      request: { params: updatePath },
      responses: {
        200: { description: 'The events', content: { 'text/event-stream': { schema: z.string() } } },
        ...problems({ 404: 'The update does not exist' }),
      },
    }),
    (context) => {
      const update = updates.get(context.req.valid('param').id);
      if (streamCount >= MAX_STREAMS) {
        throw new RequestError(503, `${MAX_STREAMS} event streams are open`, 'Use GET /v1/updates/{id} instead');
      }
      streamCount += 1;
      context.header('cache-control', 'no-store');
      return streamSSE(context, async (stream) => {
        try {
          await sendProgress(stream, update, closing);
        } finally {
          streamCount -= 1;
        }
      }) as never;
    },
  );
}

/** Sends the states that the client can receive in time, and the last one. */
async function sendProgress(stream: SSEStreamingApi, update: UpdateRecord, closing: AbortSignal): Promise<void> {
  let sentVersion = -1;
  let sentAtMs = 0;
  while (!update.isOver && !stream.aborted && !closing.aborted) {
    if (sentVersion !== versionOf(update)) {
      sentVersion = versionOf(update);
      sentAtMs = performance.now();
      await stream.writeSSE({ event: 'progress', data: JSON.stringify(updateJson(update)) });
    } else if (performance.now() - sentAtMs > ALIVE_MS) {
      sentAtMs = performance.now();
      await stream.write(': alive\n\n');
    }
    await untilNext(update);
  }
  if (update.isOver) await stream.writeSSE({ event: 'end', data: JSON.stringify(updateJson(update)) });
}

function versionOf({ state, progress }: UpdateRecord): number {
  return progress.version * 2 + (state === 'waiting' ? 0 : 1);
}

async function untilNext(update: UpdateRecord): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const later = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, EVERY_MS);
  });
  await Promise.race([update.ended, later]);
  clearTimeout(timer);
}
