import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';

type WaitShape = { wait: z.ZodDefault<z.ZodEnum<{ true: 'true'; false: 'false' }>> };

/** Query of requests that are answered at the end, or at once. */
export const waitQuery: z.ZodObject<WaitShape> = z.strictObject({
  wait: z
    .enum(['true', 'false'])
    .default('true')
    .openapi({ param: { name: 'wait', in: 'query' }, description: 'false: answer 202 at once' }),
});

/** Whether the response comes at the end. `wait=false` and `Prefer: respond-async` request a response at once. */
export function waits(context: Context): boolean {
  const prefers = context.req.header('prefer') ?? '';
  return context.req.query('wait') !== 'false' && !/(^|[,;\s])respond-async($|[,;\s])/i.test(prefers);
}
