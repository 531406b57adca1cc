import { z } from '@hono/zod-openapi';

/** Text without control characters. The pattern has no flags, which the OpenAPI document cannot express. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern rejects them
export const NO_CONTROLS: RegExp = /^[^\u0000-\u001f\u007f-\u009f]+$/;

/** Parameters of a path with the name of a checkpoint. */
export const checkpointPath: z.ZodObject<{ name: z.ZodString }> = z.object({
  name: z
    .string()
    .min(1)
    .max(256)
    .regex(NO_CONTROLS, 'Control characters are not allowed')
    .openapi({ param: { name: 'name', in: 'path' }, example: 'step-100' }),
});

/** Parameters of a path with the id of an update. */
export const updatePath: z.ZodObject<{ id: z.ZodString }> = z.object({
  id: z
    .string()
    .min(1)
    .max(64)
    .openapi({ param: { name: 'id', in: 'path' }, example: '6f1c2a0e-3f0b-4d6e-9a9e-1c4f3d2b1a00' }),
});
