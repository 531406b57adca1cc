import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { updateJson } from '../json.ts';
import { jsonContent, problems } from '../openapi.ts';
import { checkpointPath, updatePath } from '../paths.ts';
import { RequestError } from '../problem.ts';
import { METHODS, updateReply, updatesReply } from '../replies.ts';
import { cancelledError } from '../updates.ts';
import type { UpdateRequest } from '../world.ts';
import type { RouteContext } from './context.ts';
import { enginesFields, enginesOf, rankList } from './engines-fields.ts';
import { waitQuery, waits } from './wait.ts';
import { weightVersion } from './weight-version.ts';

const tags = ['updates'];

/** The fields of the Python tool, and our own. */
const updateBody = z
  .strictObject({
    ...enginesFields,
    ranks: rankList.openapi({ description: 'Ranks whose engines receive; the others only serve. Default: all' }),
    weight_version: weightVersion.nullish().openapi({
      description: 'Version of the weights, for engines that keep one. Default: that of the checkpoint',
    }),
    method: z
      .enum(METHODS)
      .nullish()
      .openapi({
        description:
          'pull: each worker copies what it keeps from host memory, and the update fails if one cannot; buckets: all ' +
          'tensors go to all workers; auto: pull if all workers can. Default: --method of the server',
      }),
    verify: z.enum(['off', 'sample', 'full']).nullish().openapi({
      description:
        'Compare digests with those of the files. `sample`: some blocks of the arriving bytes; `full`: all arriving bytes, and the parameters after loading. Default: --verify of the server',
    }),
  })
  .openapi('Update');

const updateQuery = waitQuery.extend({
  busy: z
    .enum(['wait', 'refuse'])
    .default('wait')
    .openapi({
      param: { name: 'busy', in: 'query' },
      description: 'If another update is running: wait, or answer 409',
    }),
});

/** Routes that start, show and cancel updates. */
export function updateRoutes(app: OpenAPIHono, { updates }: RouteContext): void {
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/checkpoints/{name}/update',
      operationId: 'updateCheckpoint',
      summary: 'Load a checkpoint into the engines, in place',
      description:
        'Answers 200 with an empty body when every worker has the weights; with `wait=false` or ' +
        '`Prefer: respond-async` it answers 202 at once. One update runs at a time. A client that disconnects does not end ' +
        'a running update; an update that still waits is withdrawn.',
      tags,
      request: { params: checkpointPath, query: updateQuery, body: { content: jsonContent(updateBody) } },
      responses: {
        200: { description: 'The engines have the weights; the body is empty' },
        202: { description: 'The update is queued', content: jsonContent(updateReply) },
        ...problems({
          404: 'The checkpoint does not exist',
          409: 'Another update is running, metas are missing, a rank has lost its share, or the update was cancelled',
          422: 'The body is invalid, or a worker cannot pull',
          502: 'An engine or a worker failed',
          503: 'A rank was lost',
          504: 'The update did not end in time',
        }),
      },
    }),
    async (context) => {
      const { busy } = context.req.valid('query');
      // Without a body, the schema has not filled in the defaults.
      const request = requestOf(updateBody.parse(context.req.valid('json')));
      const update = updates.submit(context.req.valid('param').name, request, busy);
      const location = { location: `/v1/updates/${update.id}` };
      if (!waits(context)) return context.json(updateJson(update), 202, location);
      context.req.raw.signal.addEventListener('abort', () => {
        if (update.state === 'waiting') void updates.cancel(update, cancelledError());
      });
      await update.ended;
      if (update.error) throw update.error;
      return context.body(null, 200, location);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/updates',
      operationId: 'listUpdates',
      summary: 'List the latest updates, newest first',
      tags,
      responses: { 200: { description: 'The latest updates', content: jsonContent(updatesReply) }, ...problems({}) },
    }),
    (context) => context.json({ updates: updates.all.map(updateJson) }, 200),
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/updates/{id}',
      operationId: 'getUpdate',
      summary: 'The progress or the result of an update',
      tags,
      request: { params: updatePath },
      responses: {
        200: { description: 'The update', content: jsonContent(updateReply) },
        ...problems({ 404: 'The update does not exist' }),
      },
    }),
    (context) => context.json(updateJson(updates.get(context.req.valid('param').id)), 200),
  );

  app.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/updates/{id}',
      operationId: 'cancelUpdate',
      summary: 'Cancel an update that waits or runs',
      description:
        'Answers when the update has ended. The engines may then hold old and new weights: update them again.',
      tags,
      request: { params: updatePath },
      responses: {
        200: { description: 'The update has ended', content: jsonContent(updateReply) },
        ...problems({ 404: 'The update does not exist', 409: 'The update had already ended' }),
      },
    }),
    async (context) => {
      const update = updates.get(context.req.valid('param').id);
      if (update.isOver) {
        throw new RequestError(
          409,
          `Update ${update.id} has already ended: its state is "${update.state}"`,
          'No action is needed',
        );
      }
      await updates.cancel(update, cancelledError());
      return context.json(updateJson(update), 200);
    },
  );
}

function requestOf(body: z.infer<typeof updateBody>): UpdateRequest {
  return {
    ...enginesOf(body),
    weightVersion: body.weight_version ?? undefined,
    method: body.method ?? undefined,
    verify: body.verify ?? undefined,
  };
}
