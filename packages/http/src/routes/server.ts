import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { isUnauthenticated } from '../guard.ts';
import { instanceJson, rankJson } from '../json.ts';
import type { Metrics } from '../metrics.ts';
import { jsonContent, problems } from '../openapi.ts';
import { instancesReply, readyReply } from '../replies.ts';
import type { RouteContext } from './context.ts';

const tags = ['server'];

const instancesQuery = z.strictObject({
  ask: z
    .enum(['true', 'false'])
    .default('false')
    .openapi({ param: { name: 'ask', in: 'query' }, description: 'Query the versions that the instances hold first' }),
});

/** Routes that describe the server and the engines. */
export function serverRoutes(app: OpenAPIHono, { world, updates }: RouteContext, metrics: Metrics): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/healthz',
      operationId: 'healthz',
      summary: 'Whether the server is alive',
      tags,
      security: [],
      responses: { 200: { description: 'The server is alive; the body is empty' }, ...problems({}) },
    }),
    (context) => context.body(null, 200),
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/readyz',
      operationId: 'readyz',
      summary: 'Whether updates can run: all ranks are ready, and the server is not shutting down',
      tags,
      security: [],
      responses: {
        200: { description: 'They can', content: jsonContent(readyReply) },
        503: { description: 'A rank is not ready, or the server is shutting down', content: jsonContent(readyReply) },
        default: problems({}).default!,
      },
    }),
    (context) => {
      const ranks = world.ranks();
      const ending = updates.isClosing;
      const ready = !ending && ranks.length === world.worldSize && ranks.every(({ state }) => state === 'ready');
      const about = { ready, ending, world_size: world.worldSize };
      return context.json(
        isUnauthenticated(context) ? about : { ...about, ranks: ranks.map(rankJson) },
        ready ? 200 : 503,
      );
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/instances',
      operationId: 'listInstances',
      summary: 'Which version of weights each inference instance holds',
      description:
        'With `ask=true` the server first queries the instances that it was started with, if their receivers can ' +
        'answer. While an update is running, it queries no instance.',
      tags,
      request: { query: instancesQuery },
      responses: { 200: { description: 'All instances', content: jsonContent(instancesReply) }, ...problems({}) },
    }),
    async (context) => {
      if (context.req.valid('query').ask === 'true') await updates.askInstances(context.req.raw.signal);
      return context.json({ instances: updates.instances.all.map(instanceJson) }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/metrics',
      operationId: 'metrics',
      summary: 'Metrics for Prometheus',
      tags,
      responses: {
        200: { description: 'Prometheus text', content: { 'text/plain': { schema: z.string() } } },
        ...problems({}),
      },
    }),
    async (context) => context.text(await metrics.text(), 200, { 'content-type': metrics.contentType }) as never,
  );
}
