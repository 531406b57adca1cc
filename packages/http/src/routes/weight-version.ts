import { WEIGHT_VERSION_PATTERN, WEIGHT_VERSION_RULE } from '@checkpoint-engine/interface';
import { z } from '@hono/zod-openapi';

/** The version of weights in a body. */
export const weightVersion: z.ZodString = z.string().regex(WEIGHT_VERSION_PATTERN, `Expected ${WEIGHT_VERSION_RULE}`);
