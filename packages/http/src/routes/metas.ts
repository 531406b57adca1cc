import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { problems } from '../openapi.ts';
import { checkpointPath } from '../paths.ts';
import { RequestError } from '../problem.ts';
import { readBody } from '../read-body.ts';
import type { RouteContext } from './context.ts';

const tags = ['checkpoints'];
const MSGPACK = 'application/msgpack';
const TYPES: ReadonlySet<string> = new Set([MSGPACK, 'application/octet-stream']);
const binary = z.string().openapi({ format: 'binary', description: 'Metas in the versioned codec, msgpack' });

/** Routes that gather metas among the ranks, export them to other worlds, and import them. */
export function metasRoutes(app: OpenAPIHono, { world }: RouteContext): void {
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/checkpoints/{name}/gather-metas',
      operationId: 'gatherMetas',
      summary: 'Exchange the metas of all ranks',
      tags,
      request: { params: checkpointPath },
      responses: {
        200: { description: 'Gathered; the body is empty' },
        ...problems({ 404: 'The checkpoint does not exist', 409: 'A rank has lost its share' }),
      },
    }),
    async (context) => {
      await refuseFields(context);
      await world.gatherMetas(context.req.valid('param').name, { signal: context.req.raw.signal });
      return context.body(null, 200);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/checkpoints/{name}/metas',
      operationId: 'getMetas',
      summary: 'Export the metas of all ranks, for ranks that join',
      tags,
      request: { params: checkpointPath },
      responses: {
        200: { description: 'The metas of all ranks', content: { [MSGPACK]: { schema: binary } } },
        ...problems({ 404: 'The checkpoint does not exist', 409: 'The metas were not gathered' }),
      },
    }),
    async (context) => {
      const metas = await world.exportMetas(context.req.valid('param').name);
      return context.body(metas as Uint8Array<ArrayBuffer>, 200, { 'content-type': MSGPACK });
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/checkpoints/{name}/metas',
      operationId: 'putMetas',
      summary: 'Import the metas that another world gathered',
      tags,
      request: {
        params: checkpointPath,
        body: {
          required: true,
          content: { [MSGPACK]: { schema: binary }, 'application/octet-stream': { schema: binary } },
        },
      },
      responses: {
        200: { description: 'Imported; the body is empty' },
        ...problems({ 415: 'The body has another type', 422: 'The metas are not valid' }),
      },
    }),
    async (context) => {
      const type = context.req.header('content-type')?.split(';')[0]?.trim().toLowerCase() ?? '';
      if (!TYPES.has(type)) {
        throw new RequestError(415, `The body is "${type}", expected ${MSGPACK}`, `Send Content-Type: ${MSGPACK}`);
      }
      await world.importMetas(context.req.valid('param').name, await readBody(context.req.raw));
      return context.body(null, 200);
    },
  );
}

/** The request takes no body; an empty body of any type and an empty object are accepted. */
async function refuseFields(context: Context): Promise<void> {
  const text = (await context.req.text()).trim();
  if (/^(\{\s*\}|null)?$/.test(text)) return;
  throw new RequestError(422, 'The request has a body, expected none', 'Send the request without a body');
}
