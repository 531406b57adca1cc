import { Buffer } from 'node:buffer';
import { type ClientRequest, request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { Deadline } from '@checkpoint-engine/interface/shared';
import type { EngineEndpoint, EngineWait } from './engine-client.ts';

/** One request. */
export interface HttpCall {
  readonly method: 'GET' | 'POST';
  /** The path after the endpoint's URL, with the query. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: object | undefined;
  readonly apiKey?: string | undefined;
  /** The endpoint in errors. @default its URL */
  readonly shownAs?: string | undefined;
}

/** The answer, with any status. Redirects are not followed, so that the API key goes to no other host. */
export interface HttpReply {
  readonly status: number;
  readonly text: string;
  /** The target of a redirect. */
  readonly location?: string | undefined;
}

/** Time limit for a connection: a running engine accepts it at once, even if it is busy. */
const CONNECT_TIMEOUT_MS = 10_000;

/** Maximum number of characters of an answer that are kept. */
const KEPT_CHARACTERS = 1024 * 1024;

/** A peer that vanishes silently is noticed after several of these. */
const KEEP_ALIVE_MS = 30_000;

/**
 * Sends one request over its own connection, TCP or Unix. An abort destroys the connection.
 *
 * @throws `CE_TIMEOUT`, `CE_ABORTED`, `CE_ENGINE_UNREACHABLE` with the connection's error as its cause.
 */
export async function httpRequest(endpoint: EngineEndpoint, call: HttpCall, wait: EngineWait): Promise<HttpReply> {
  const op = `${call.method} ${call.path}`;
  const deadline = new Deadline(op, wait, wait.timeoutMs);
  deadline.check();
  const request = open(endpoint, call);
  try {
    return await deadline.race(reply(request, call));
  } catch (error) {
    if (CheckpointEngineError.isInstance(error)) throw error;
    throw unreachable(call.shownAs ?? endpoint.url, op, error);
  } finally {
    request.destroy();
  }
}

function open({ url, uds }: EngineEndpoint, { method, path, body, apiKey }: HttpCall): ClientRequest {
  const target = new URL(url);
  const headers: Record<string, string> = { accept: 'application/json' };
  if (apiKey !== undefined) headers.authorization = `Bearer ${apiKey}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const options = {
    method,
    headers,
    agent: false,
    path: target.pathname.replace(/\/$/, '') + path,
    ...(uds === undefined ? {} : { socketPath: uds }),
  };
  return target.protocol === 'https:' ? tlsRequest(target, options) : plainRequest(target, options);
}

function reply(request: ClientRequest, { body }: HttpCall): Promise<HttpReply> {
  return new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (text.length < KEPT_CHARACTERS) text += chunk;
      });
      const { statusCode: status = 0, headers } = response;
      response.on('end', () => resolve({ status, text, location: headers.location }));
      response.on('error', reject);
      // After an `end` this has no effect.
      response.on('close', () =>
        reject(new Error(`the connection was closed in the middle of its answer (${status})`)),
      );
    });
    boundConnecting(request);
    request.setSocketKeepAlive(true, KEEP_ALIVE_MS);
    if (body === undefined) {
      request.end();
    } else {
      const bytes = Buffer.from(JSON.stringify(body));
      request.setHeader('content-length', bytes.byteLength);
      request.end(bytes);
    }
  });
}

function boundConnecting(request: ClientRequest): void {
  request.once('socket', (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(() => {
      request.destroy(new Error(`no connection within ${CONNECT_TIMEOUT_MS} ms`));
    }, CONNECT_TIMEOUT_MS);
    const stop = (): void => clearTimeout(timer);
    socket.once('connect', stop).once('close', stop);
  });
}

function unreachable(where: string, op: string, cause: unknown): CheckpointEngineError {
  const why = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : String(cause);
  return new CheckpointEngineError(
    'CE_ENGINE_UNREACHABLE',
    `${op} got no answer from ${where}: ${why}`,
    'Check that the engine runs and listens at this address',
    { op, peer: where, cause },
  );
}
