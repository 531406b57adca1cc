import type { OpenAPIHono, z } from '@hono/zod-openapi';
import { problemReply } from './replies.ts';

/** Content of problem details. */
const PROBLEM = { 'application/problem+json': { schema: problemReply } };

/** Answers of a route that fails, by status; any other failure is described too. */
export function problems(statuses: Readonly<Record<number, string>>): Record<string, ProblemResponse> {
  const all: Record<string, string> = { ...statuses, default: 'Any other failure' };
  return Object.fromEntries(
    Object.entries(all).map(([status, description]) => [status, { description, content: PROBLEM }]),
  );
}

/** One entry of {@link problems}. */
export interface ProblemResponse {
  readonly description: string;
  readonly content: { readonly 'application/problem+json': { readonly schema: z.ZodType } };
}

/** A JSON body. */
export function jsonContent<Schema extends z.ZodType>(
  schema: Schema,
): { readonly 'application/json': { readonly schema: Schema } } {
  return { 'application/json': { schema } };
}

/** Answers `GET /openapi.json`. */
export function describeApi(app: OpenAPIHono, { hasToken }: { readonly hasToken: boolean }): void {
  if (hasToken) {
    app.openAPIRegistry.registerComponent('securitySchemes', 'token', {
      type: 'http',
      scheme: 'bearer',
      description: 'The value of CHECKPOINT_ENGINE_TOKEN',
    });
  }
  app.doc31('/openapi.json', {
    openapi: '3.1.0',
    info: {
      title: 'checkpoint-engine',
      version: '1',
      description:
        'New weights into running inference engines, in place. Sizes are bytes, durations in the fields that end in ' +
        '`_ms` milliseconds, `timeout` seconds. Errors are RFC 9457 problem details with a stable `code`.',
      license: { name: 'MIT', url: 'https://opensource.org/license/mit' },
    },
    tags: [{ name: 'checkpoints' }, { name: 'updates' }, { name: 'server' }],
    ...(hasToken ? { security: [{ token: [] }] } : {}),
  });
}
