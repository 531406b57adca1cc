import type { Hono } from 'hono';
import type { BodyBudget } from '../body-budget.ts';
import type { Metrics } from '../metrics.ts';
import { noteRequests } from '../note-requests.ts';
import type { RankWorld } from '../world.ts';
import { rankApi } from './rank-api.ts';
import { ToolCalls, type ToolCallsOptions } from './tool-calls.ts';

/** Answers one request to one rank. `env` is the connection's data from `@hono/node-server`. */
export type RankFetch = (rank: number, request: Request, env?: unknown) => Response | Promise<Response>;

/** The parts that {@link toolRoutes} shares with the API of the whole world. */
export interface ToolRoutesOptions extends Omit<ToolCallsOptions, 'world'> {
  readonly metrics: Metrics;
  readonly budget: BodyBudget;
}

/** The routes of the Python tool's servers: one for each rank. */
export function toolRoutes(world: RankWorld, { metrics, budget, ...options }: ToolRoutesOptions): RankFetch {
  const calls = new ToolCalls({ world, ...options });
  const apis = Array.from(
    { length: world.worldSize },
    (_, rank): Hono => rankApi({ world, rank, calls, budget, before: noteRequests(metrics, options.logger, rank) }),
  );
  return (rank, request, env) => apis[rank]!.fetch(request, Object(env));
}
