import type { OpenAPIHono, z } from '@hono/zod-openapi';
import { docsPage, PAGE_POLICY } from './docs/docs-page.ts';
import type { ApiDocument } from './docs/document.ts';
import { problemReply } from './replies.ts';

/** Content of problem details. */
const PROBLEM = { 'application/problem+json': { schema: problemReply } };

/** The failures of a route, by status; any other failure is described as well. */
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

/** Answers `GET /openapi.json` with the document, and `GET /docs` with a page for readers. */
export function describeApi(app: OpenAPIHono, { hasToken }: { readonly hasToken: boolean }): void {
  if (hasToken) {
    app.openAPIRegistry.registerComponent('securitySchemes', 'token', {
      type: 'http',
      scheme: 'bearer',
      description: 'The value of CHECKPOINT_ENGINE_TOKEN',
    });
  }
  const about = {
    openapi: '3.1.0',
    info: {
      title: 'checkpoint-engine',
      version: '1',
      description:
        'Loads new weights into running inference engines, in place. Sizes are in bytes. Durations are in ' +
        'milliseconds in fields that end in `_ms`, and in seconds in `timeout`. Errors are RFC 9457 problem details ' +
        'with a stable `code`.',
      license: { name: 'MIT', url: 'https://opensource.org/license/mit' },
    },
    tags: [{ name: 'checkpoints' }, { name: 'updates' }, { name: 'server' }],
    ...(hasToken ? { security: [{ token: [] }] } : {}),
  };
  app.doc31('/openapi.json', about);
  // The document is created at the first request, because most servers never need it.
  let page: string | undefined;
  app.get('/docs', (context) => {
    page ??= docsPage(app.getOpenAPI31Document(about) as unknown as ApiDocument);
    return context.html(page, 200, {
      'content-security-policy': PAGE_POLICY,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    });
  });
}
