import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CheckpointEngineError } from '@checkpoint-engine/interface';

/** Maximum size of a request's body. */
const LARGEST_BODY_BYTES = 1024 * 1024;

/** A request that is answered with this status. */
export class RequestProblem extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Reads a JSON body. @throws {RequestProblem} 400, 413 or 415. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  // A browser sends JSON to another site only after a preflight request, which this server does not answer.
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) {
    throw new RequestProblem(415, 'Send the body as application/json');
  }
  const decoder = new TextDecoder();
  let text = '';
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > LARGEST_BODY_BYTES) throw new RequestProblem(413, `A body has at most ${LARGEST_BODY_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  try {
    return JSON.parse(text + decoder.decode());
  } catch {
    throw new RequestProblem(400, 'The body is not JSON');
  }
}

/** Answers with JSON. */
export function sendJson(response: ServerResponse, status: number, body: object, type = 'application/json'): void {
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.byteLength });
  response.end(bytes);
}

/** Answers with problem details. @source RFC 9457 */
export function sendProblem(
  response: ServerResponse,
  status: number,
  detail: string,
  error?: CheckpointEngineError,
): void {
  const fields = error && { code: error.code, hint: error.hint, error: error.toJSON() };
  const title = status < 500 ? 'The request was not accepted' : 'The update failed';
  sendJson(response, status, { type: 'about:blank', title, status, detail, ...fields }, 'application/problem+json');
}
