import { type CheckpointEngineError, type Logger, silentLogger } from '@checkpoint-engine/interface';
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Registry } from 'prom-client';
import { BodyBudget } from './body-budget.ts';
import { browserGuard, tokenGuard } from './guard.ts';
import { Metrics } from './metrics.ts';
import { noteRequests } from './note-requests.ts';
import { describeApi } from './openapi.ts';
import { problemOf, problemResponse, RequestError } from './problem.ts';
import { type RankFetch, toolRoutes } from './python-tool/tool-routes.ts';
import { allowEmptyBody, invalidRequest, limitBody, refuseOtherMethods } from './request-rules.ts';
import { checkpointRoutes } from './routes/checkpoints.ts';
import type { RouteContext } from './routes/context.ts';
import { eventRoutes } from './routes/events.ts';
import { metasRoutes } from './routes/metas.ts';
import { serverRoutes } from './routes/server.ts';
import { updateRoutes } from './routes/updates.ts';
import { verifyRoutes } from './routes/verify.ts';
import type { UpdateRecord } from './update-record.ts';
import { Updates } from './updates.ts';
import type { HttpWorld, RankWorld, UpdateEvent } from './world.ts';

/** Maximum size of a JSON body, and of metas: those of the largest models have less than 4 MiB. */
const JSON_BYTES = 8 * 2 ** 20;
const METAS_BYTES = 16 * 2 ** 20;

/** Options of {@link createHttpApi}. */
export interface HttpApiOptions {
  /** Required as `Authorization: Bearer` by all routes except health and readiness. */
  readonly token?: string | undefined;
  /**
   * Web pages cannot reach the server, for example because it listens on a Unix socket. Otherwise, without a token,
   * requests from web pages and requests for another host are rejected.
   * @default false
   */
  readonly isOutOfBrowsersReach?: boolean | undefined;
  readonly logger?: Logger | undefined;
  /** Metrics of the process to serve together with those of the API. */
  readonly registry?: Registry | undefined;
  /** The version of the server, for the metric `checkpoint_engine_build_info`. */
  readonly version?: string | undefined;
  /** Receives the events of updates, for reports and traces. Its functions must not throw. */
  readonly observer?: UpdateObserver | undefined;
}

/** An observer of updates. */
export interface UpdateObserver {
  /** An event of a running update. */
  readonly onEvent: (update: UpdateRecord, event: UpdateEvent) => void;
  /** An update has ended, or was cancelled before it began. */
  readonly onEnd: (update: UpdateRecord) => void;
}

/** The HTTP API of a world. */
export interface HttpApi {
  /**
   * Answers one request.
   *
   * @param env The connection from `@hono/node-server`, for the address of the client in the log.
   */
  readonly fetch: (request: Request, env?: unknown) => Response | Promise<Response>;
  /**
   * Answers one request as the Python tool's server of this rank does. Present only for a {@link RankWorld}. It
   * requires no token: use it for a Unix socket that only this user can open.
   */
  readonly fetchAtRank?: RankFetch | undefined;
  /**
   * Rejects new and waiting updates. Resolves when the running update has ended, or at once if there is none.
   *
   */
  drain(): Promise<void>;
  /** Aborts the running update with this reason, and resolves when it has ended. */
  cancelRunning(reason: CheckpointEngineError): Promise<void>;
  /** Ends long responses. */
  close(): void;
}

/**
 * Creates the HTTP API of a world as a function from requests to responses: for Node.js (`@hono/node-server`), Deno
 * (`Deno.serve`) and other runtimes with these types. `/openapi.json` describes the API.
 */
export function createHttpApi(world: HttpWorld, options: HttpApiOptions = {}): HttpApi {
  const { token, isOutOfBrowsersReach = false, logger = silentLogger, registry, version, observer } = options;
  const closing = new AbortController();
  const metrics = new Metrics(world, () => updates, registry, version);
  const updates = new Updates({
    world,
    logger,
    onEnd: (update) => {
      metrics.noteUpdate(update);
      observer?.onEnd(update);
    },
    onEvent: observer?.onEvent,
  });
  // After a restart, the server can query what the instances hold. A client can repeat the query later.
  void updates.askInstances(closing.signal);
  const context: RouteContext = { world, updates, closing: closing.signal };
  const app = new OpenAPIHono({
    defaultHook: (result) => {
      if (!result.success) throw invalidRequest(result.target, result.error.issues);
    },
  });

  app.use(noteRequests(metrics, logger));
  if (token !== undefined) app.use(tokenGuard(token));
  else if (!isOutOfBrowsersReach) app.use(browserGuard);
  const budget = new BodyBudget();
  app.use('/v1/checkpoints/:name/metas', budget.limit(METAS_BYTES), limitBody(METAS_BYTES));
  app.use(
    '/v1/checkpoints/:name/:action{files|update|verify|gather-metas}',
    budget.limit(JSON_BYTES),
    limitBody(JSON_BYTES),
  );
  app.use('/v1/checkpoints/:name/:action{update|verify}', allowEmptyBody);
  checkpointRoutes(app, context);
  metasRoutes(app, context);
  updateRoutes(app, context);
  verifyRoutes(app, context);
  eventRoutes(app, context);
  serverRoutes(app, context, metrics);
  describeApi(app, { hasToken: token !== undefined });
  refuseOtherMethods(app);
  app.notFound((request) => {
    throw new RequestError(404, `The path ${request.req.path} does not exist`, 'GET /openapi.json lists all paths');
  });
  app.onError((error, request) => {
    const problem = problemOf(error);
    if (problem.status === 500) logger.error({ path: request.req.path, err: error }, 'A request failed');
    return problemResponse(problem, request.res.headers);
  });

  return {
    fetch: (request, env) => app.fetch(request, Object(env)),
    ...(isRankWorld(world)
      ? { fetchAtRank: toolRoutes(world, { updates, metrics, budget, logger, closing: closing.signal }) }
      : {}),
    drain: () => updates.close(closingError()),
    cancelRunning: async (reason) => {
      const { running } = updates;
      if (running) await updates.cancel(running, reason);
    },
    close: () => closing.abort(),
  };
}

function isRankWorld(world: HttpWorld): world is RankWorld {
  return 'registerAt' in world;
}

function closingError(): CheckpointEngineError {
  return new RequestError(503, 'The server is shutting down', 'Try again when it is back', 'CE_CLOSED');
}
