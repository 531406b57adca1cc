import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { verifyJson } from '../json.ts';
import { jsonContent, problems } from '../openapi.ts';
import { checkpointPath } from '../paths.ts';
import { RequestError } from '../problem.ts';
import { verifyReply } from '../replies.ts';
import type { RouteContext } from './context.ts';
import { enginesFields, enginesOf } from './engines-fields.ts';

const verifyBody = z.strictObject(enginesFields).openapi('Verify');

/** The route that compares what engines hold with a checkpoint. */
export function verifyRoutes(app: OpenAPIHono, { world }: RouteContext): void {
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/checkpoints/{name}/verify',
      operationId: 'verifyCheckpoint',
      summary: 'Compare what the engines hold with a checkpoint',
      description:
        'Changes nothing in the engines. They need the receiver of this project, and one update through it since they ' +
        'started. Waits for a running update. Answers 200 even if bytes differ: see `equal`. If the client ' +
        'disconnects, the comparison ends.',
      tags: ['checkpoints'],
      request: { params: checkpointPath, body: { content: jsonContent(verifyBody) } },
      responses: {
        200: { description: 'The result of the comparison', content: jsonContent(verifyReply) },
        ...problems({
          404: 'The checkpoint does not exist',
          409: 'Metas are missing, files have changed, or a rank has lost its share',
          422: 'The body is invalid, or an engine cannot report what it holds',
          502: 'An engine or a worker failed, or holds another model',
          503: 'A rank was lost',
          504: 'The comparison did not end in time',
        }),
      },
    }),
    async (context) => {
      // Without a body, the schema has not filled in the defaults.
      const request = enginesOf(verifyBody.parse(context.req.valid('json')));
      if (world.verify === undefined) {
        throw new RequestError(
          422,
          'This server cannot verify engines',
          'Use the command checkpoint-engine verify',
          'CE_NOT_SUPPORTED',
        );
      }
      const report = await world.verify(context.req.valid('param').name, request, { signal: context.req.raw.signal });
      return context.json(verifyJson(report), 200);
    },
  );
}
