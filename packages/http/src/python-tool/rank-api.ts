import { toCheckpointEngineError } from '@checkpoint-engine/interface';
import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { HTTPException } from 'hono/http-exception';
import type { BodyBudget } from '../body-budget.ts';
import { readBody } from '../read-body.ts';
import type { RankWorld } from '../world.ts';
import { BodyError, checkName, parseBody, registerBody, updateBody } from './bodies.ts';
import type { ToolCalls } from './tool-calls.ts';

/** Options of {@link rankApi}. */
export interface RankApiOptions {
  readonly world: RankWorld;
  readonly rank: number;
  readonly calls: ToolCalls;
  readonly budget: BodyBudget;
  /** Called before all routes: it records requests. */
  readonly before: MiddlewareHandler;
}

/** Maximum bytes of a body: metas of large models list each tensor. */
const BODY_BYTES = 48 * 2 ** 20;

/**
 * The routes of the Python tool's server, for one rank: the same paths, bodies and answers.
 *
 * @source PyPI package checkpoint-engine 0.4.2, `api.py`
 */
export function rankApi({ world, rank, calls, budget, before }: RankApiOptions): Hono {
  const app = new Hono();
  app.use(before);
  app.use(budget.limit(BODY_BYTES));
  app.use(
    bodyLimit({
      maxSize: BODY_BYTES,
      onError: () => {
        throw new HTTPException(413, { message: `The body has more than ${BODY_BYTES} bytes` });
      },
    }),
  );
  const done = (context: Context): Response => context.body(null, 200);
  const nameOf = (context: Context): string => checkName(context.req.param('name') ?? '');

  app.get('/v1/healthz', done);

  app.post('/v1/checkpoints/:name/files', async (context) => {
    const { files } = await parseBody(context.req.raw, registerBody);
    await world.registerAt(nameOf(context), rank, files, { signal: context.req.raw.signal });
    return done(context);
  });

  app.delete('/v1/checkpoints/:name', async (context) => {
    // The tool accepts a name that is not registered.
    await world.unregisterAt(nameOf(context), rank);
    return done(context);
  });

  app.post('/v1/checkpoints/:name/gather-metas', async (context) => {
    await calls.gatherings.join(nameOf(context), rank, null, context.req.raw.signal);
    return done(context);
  });

  app.post('/v1/checkpoints/:name/update', async (context) => {
    const body = await parseBody(context.req.raw, updateBody);
    await calls.updates.join(nameOf(context), rank, body, context.req.raw.signal);
    return done(context);
  });

  app.get('/v1/metas', async (context) => {
    try {
      return context.body(await calls.metas(), 200, { 'content-type': 'application/json' });
    } catch (error) {
      return context.json({ detail: textOf(error) }, 500);
    }
  });

  app.post('/v1/metas', async (context) => {
    await calls.load(await readBody(context.req.raw));
    return done(context);
  });

  const known = app.routes.filter(({ method }) => method !== 'ALL');
  for (const path of new Set(known.map((route) => route.path))) {
    const allow = known.filter((route) => route.path === path).map(({ method }) => method);
    app.all(path, (context) => context.json({ detail: 'Method Not Allowed' }, 405, { allow: allow.join(', ') }));
  }
  app.notFound((context) => context.json({ detail: 'Not Found' }, 404));
  app.onError((error, context) => {
    if (error instanceof BodyError) return context.json({ detail: error.issues }, 422);
    if (error instanceof HTTPException) return context.json({ detail: error.message }, error.status);
    return context.json(textOf(error), 500);
  });
  return app;
}

/** An error in one line: what happened, what to do, and the stable code. */
function textOf(thrown: unknown): string {
  const { message, hint, code } = toCheckpointEngineError(thrown);
  return `${message}. ${hint} (${code})`;
}
