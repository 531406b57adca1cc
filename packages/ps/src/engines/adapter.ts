import type { EngineUpdate } from './engine-client.ts';

/** What tells one engine's HTTP API from another's. */
export interface EngineAdapter {
  readonly name: string;
  /** Answers with a status of 200 to 299 once the engine can be asked. */
  readonly readyPath: string;
  readonly updatePath: string;
  /** JSON body of the update request. */
  body(update: EngineUpdate): object;
  /** What went wrong according to an answer of status 200 to 299; `undefined` when all is well. */
  failureIn(text: string): string | undefined;
  /** What to do when ... */
  readonly hints: {
    /** ... there is no such route (404, 405, 501). */
    readonly missing: string;
    /** ... the engine answers with another error. */
    readonly failed: string;
    /** ... it does not answer in time. */
    readonly slow: string;
  };
}

/** `failureIn` of engines that answer `{"success": true, "message": "..."}`. */
export function successOrMessage(text: string): string | undefined {
  const reply = parseJson(text) as { success?: unknown; message?: unknown } | null | undefined;
  if (reply?.success === true) return undefined;
  return typeof reply?.message === 'string' ? reply.message : `unexpected answer: ${text.slice(0, 200)}`;
}

/** The value, or `undefined` where the text is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
