import type { OpenAPIHono } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { RequestError } from './problem.ts';

/** Rejects bodies of more than this many bytes. */
export function limitBody(maxSize: number): MiddlewareHandler {
  return bodyLimit({
    maxSize,
    onError: () => {
      throw new RequestError(413, `The body has more than ${maxSize} bytes`, 'Send less');
    },
  });
}

/** Some clients send the type of a body without a body. */
export const allowEmptyBody: MiddlewareHandler = async (context, next) => {
  if (context.req.method === 'POST' && (await context.req.text()) === '')
    context.req.raw.headers.delete('content-type');
  await next();
};

/** Known paths answer other methods with 405 and the methods that they support. */
export function refuseOtherMethods(app: OpenAPIHono): void {
  const byPath = new Map<string, Set<string>>();
  for (const { path, method } of app.routes) {
    if (method === 'ALL') continue;
    byPath.set(path, (byPath.get(path) ?? new Set()).add(method));
  }
  for (const [path, methods] of byPath) {
    if (methods.has('GET')) methods.add('HEAD');
    const allow = [...methods].sort().join(', ');
    app.all(path, (context) => {
      context.header('allow', allow);
      throw new RequestError(405, `${context.req.path} does not support ${context.req.method}`, `Use ${allow}`);
    });
  }
}

/** One finding of a schema. */
interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** The error of a request that does not match its schema. */
export function invalidRequest(target: string, issues: readonly Issue[]): RequestError {
  const summary = issues
    .slice(0, 5)
    .map(({ path, message }) => (path.length > 0 ? `${path.join('.')}: ${message}` : message))
    .join('; ');
  const part = target === 'json' ? 'body' : target === 'param' ? 'path' : target;
  return new RequestError(
    422,
    `The ${part} of the request is invalid: ${summary}`,
    'Send what GET /openapi.json describes',
  );
}
