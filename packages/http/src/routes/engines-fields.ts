import { z } from '@hono/zod-openapi';
import type { UpdateRequest } from '../world.ts';

export const rankList: z.ZodDefault<z.ZodArray<z.ZodInt>> = z
  .array(z.int().min(0).max(1_000_000))
  .max(100_000)
  .default([]);

interface EnginesFields {
  readonly ranks: typeof rankList;
  readonly update_url: z.ZodOptional<z.ZodNullable<z.ZodURL>>;
  readonly inference_group_ranks: typeof rankList;
  readonly timeout: z.ZodDefault<z.ZodNumber>;
  readonly uds: z.ZodOptional<z.ZodNullable<z.ZodString>>;
}

/** The fields of a request's body that select engines. */
export const enginesFields: EnginesFields = {
  ranks: rankList.openapi({ description: 'Ranks whose engines take part. Empty: all' }),
  update_url: z
    .url({ protocol: /^https?$/ })
    .max(2048)
    .nullish()
    .openapi({
      description: 'URL of the update request, with its path. Default: the engine of --endpoint or --engine-uds',
      example: 'http://127.0.0.1:8000/collective_rpc',
    }),
  inference_group_ranks: rankList.openapi({ description: 'Ranks whose workers belong to that engine. Empty: all' }),
  timeout: z
    .number()
    .positive()
    .max(86_400)
    .default(300)
    .openapi({ description: 'Time limit for the complete request, in seconds' }),
  uds: z.string().min(1).max(256).nullish().openapi({ description: 'Unix socket to send the request through' }),
};

/** Returns the engines that a body selects. */
export function enginesOf(
  body: z.infer<z.ZodObject<{ -readonly [Name in keyof EnginesFields]: EnginesFields[Name] }>>,
): Pick<UpdateRequest, 'ranks' | 'updateUrl' | 'uds' | 'inferenceGroupRanks' | 'timeoutMs'> {
  return {
    ranks: body.ranks,
    updateUrl: body.update_url ?? undefined,
    uds: body.uds ?? undefined,
    inferenceGroupRanks: body.inference_group_ranks,
    timeoutMs: Math.ceil(body.timeout * 1000),
  };
}
