import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { checkpointJson } from '../json.ts';
import { jsonContent, problems } from '../openapi.ts';
import { checkpointPath, NO_CONTROLS } from '../paths.ts';
import { RequestError } from '../problem.ts';
import { checkpointReply, checkpointsReply } from '../replies.ts';
import type { CheckpointView, HttpWorld } from '../world.ts';
import type { RouteContext } from './context.ts';
import { waitQuery, waits } from './wait.ts';
import { weightVersion } from './weight-version.ts';

const tags = ['checkpoints'];
const unknown = { 404: 'The checkpoint does not exist' };

const filesBody = z
  .strictObject({
    files: z
      .array(z.string().min(1).max(4096).regex(NO_CONTROLS, 'Control characters are not allowed'))
      .min(1)
      .max(100_000)
      .openapi({
        description: 'Safetensors files, or one folder, as the ranks see them',
        example: ['/checkpoints/step-100'],
      }),
    keep_files: z.boolean().default(false).openapi({
      description:
        'Keep files on /dev/shm; otherwise they are used in place, and removed when an update of the checkpoint has succeeded',
    }),
    stream: z
      .boolean()
      .default(false)
      .openapi({ description: 'Read the files during each update instead of keeping them in host memory' }),
    weight_version: weightVersion.nullish().openapi({
      description: 'Version of the weights. Left out: updates derive it from the bytes, unless they are given one',
    }),
    timeout: z
      .number()
      .positive()
      .max(86_400)
      .default(3_600)
      .openapi({ description: 'Time limit for reading the checkpoint, in seconds' }),
  })
  .openapi('RegisterFiles');

const forceQuery = z.strictObject({
  force: z
    .enum(['true', 'false'])
    .default('false')
    .openapi({
      param: { name: 'force', in: 'query' },
      description: 'Also release the shared pool, which otherwise stays for the next checkpoint',
    }),
});

/** Routes that register, show and release checkpoints. */
export function checkpointRoutes(app: OpenAPIHono, { world, closing }: RouteContext): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/checkpoints',
      operationId: 'listCheckpoints',
      summary: 'All checkpoints',
      tags,
      responses: { 200: { description: 'All checkpoints', content: jsonContent(checkpointsReply) }, ...problems({}) },
    }),
    (context) => context.json({ checkpoints: world.checkpoints().map(checkpointJson) }, 200),
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/checkpoints/{name}',
      operationId: 'getCheckpoint',
      summary: 'One checkpoint, with its state by rank',
      tags,
      request: { params: checkpointPath },
      responses: {
        200: { description: 'The checkpoint', content: jsonContent(checkpointReply) },
        ...problems(unknown),
      },
    }),
    (context) => {
      return context.json(checkpointJson(findCheckpoint(world, context.req.valid('param').name)), 200);
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/checkpoints/{name}/files',
      operationId: 'registerFiles',
      summary: 'Load safetensors files into the pools of all ranks',
      description:
        'Answers 200 when all ranks hold their share. If the client disconnects earlier, the registration ends. With ' +
        '`wait=false` or `Prefer: respond-async` it answers 202 once all ranks have read the headers of the files. ' +
        'From then on, metas can be gathered and updates can run, while the rest of the files is read.',
      tags,
      request: {
        params: checkpointPath,
        query: waitQuery,
        body: { required: true, content: jsonContent(filesBody) },
      },
      responses: {
        200: { description: 'Registered; the body is empty' },
        202: { description: 'The files are being read', content: jsonContent(checkpointReply) },
        ...problems({ 409: 'The name is taken', 422: 'The body or a file is invalid' }),
      },
    }),
    async (context) => {
      const { name } = context.req.valid('param');
      const { files, keep_files: keepFiles, stream, timeout, weight_version } = context.req.valid('json');
      const timeoutMs = Math.ceil(timeout * 1000);
      const request = { files, keepFiles, stream, timeoutMs, weightVersion: weight_version ?? undefined };
      if (waits(context)) {
        await world.register(name, request, { signal: context.req.raw.signal });
        return context.body(null, 200);
      }
      await untilAccepted((onAccepted) => world.register(name, request, { signal: closing, onAccepted }));
      return context.json(checkpointJson(findCheckpoint(world, name)), 202);
    },
  );

  app.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/checkpoints/{name}',
      operationId: 'unregisterCheckpoint',
      summary: 'Release the memory of a checkpoint',
      tags,
      request: { params: checkpointPath, query: forceQuery },
      responses: {
        200: { description: 'Released; the body is empty' },
        ...problems({ ...unknown, 409: 'An update of it is running' }),
      },
    }),
    async (context) => {
      const { force } = context.req.valid('query');
      await world.unregister(context.req.valid('param').name, { force: force === 'true' });
      return context.body(null, 200);
    },
  );
}

function findCheckpoint(world: HttpWorld, name: string): CheckpointView {
  const found = world.checkpoints().find((checkpoint) => checkpoint.name === name);
  if (found) return found;
  throw new RequestError(404, `Checkpoint "${name}" does not exist`, 'Register it first', 'CE_CHECKPOINT_UNKNOWN');
}

/** Resolves when a registration is accepted; the state of the checkpoint shows its further progress. */
function untilAccepted(register: (onAccepted: () => void) => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    register(resolve).then(resolve, reject);
  });
}
