import { z } from 'zod';
import { RequestError } from '../problem.ts';

/** A request body that a route does not accept. The response lists its issues in the format of FastAPI. */
export class BodyError extends Error {
  readonly issues: readonly object[];

  constructor(issues: readonly object[]) {
    super('The body of the request is not valid');
    this.issues = issues;
  }
}

/** `RegisterRequest` of the Python tool. Fields that it does not know are ignored, as Pydantic ignores them. */
export const registerBody: z.ZodObject<{ files: z.ZodArray<z.ZodString> }> = z.object({
  files: z.array(z.string().max(4096)).max(100_000),
});

const ranks = z.array(z.int().min(0)).max(100_000).default([]);

/** The update request to one rank. */
export interface UpdateBody {
  readonly ranks: readonly number[];
  readonly update_url?: string | null | undefined;
  readonly inference_group_ranks: readonly number[];
  readonly timeout: number;
  readonly uds?: string | null | undefined;
}

/** `UpdateRequest` of the Python tool. */
export const updateBody: z.ZodType<UpdateBody> = z.object({
  ranks,
  update_url: z.string().max(2048).nullish(),
  inference_group_ranks: ranks,
  timeout: z.number().positive().max(86_400).default(300),
  uds: z.string().max(256).nullish(),
});

/** @throws {BodyError} */
export async function parseBody<Output>(request: Request, schema: z.ZodType<Output>): Promise<Output> {
  return parseText(await request.text(), schema);
}

/** @throws {BodyError} */
export function parseText<Output>(text: string, schema: z.ZodType<Output>): Output {
  if (text.trim() === '') {
    throw new BodyError([{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }]);
  }
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new BodyError(
    parsed.error.issues.map(({ path, message, code }) => ({ type: code, loc: ['body', ...path], msg: message })),
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const msg = `JSON decode error: ${(error as Error).message}`;
    throw new BodyError([{ type: 'json_invalid', loc: ['body'], msg }]);
  }
}

/** @throws {RequestError} The server does not accept the checkpoint's name. */
export function checkName(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern rejects them
  if (name.length <= 256 && !/[\u0000-\u001f\u007f-\u009f]/.test(name)) return name;
  throw new RequestError(
    422,
    'The name of the checkpoint has control characters or more than 256 characters',
    'Use a shorter name',
  );
}
