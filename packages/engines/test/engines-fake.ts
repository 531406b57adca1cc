import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import type { Logger } from '@checkpoint-engine/interface';
import { expect } from 'vitest';
import type { EngineEndpoint } from '../src/index.ts';

/** One request that the fake engine waits for, and what it answers. */
export interface Step {
  readonly method: 'GET' | 'POST';
  /** With its query. */
  readonly path: string;
  /** The expected JSON body, or a check of it; without this, the request must have no body. */
  readonly body?: unknown | ((body: unknown) => boolean);
  readonly status?: number;
  /** JSON, or text as it is. */
  readonly reply?: unknown;
  /** Whether the request is sent at the same time as adjacent requests with this mark. */
  readonly atOnce?: boolean;
  /** Where a redirect points. */
  readonly location?: string;
  /**
   * Called before the answer is sent; it waits for the promise. `hang` never answers, `drop` cuts the connection,
   * `half` cuts it in the middle of the answer.
   */
  readonly before?: (() => Promise<void>) | 'hang' | 'drop' | 'half';
}

/**
 * An engine's HTTP server that accepts exactly the requests of its list, in their order. Adjacent steps with `atOnce`
 * may arrive in any order.
 */
export class FakeEngine {
  readonly endpoint: EngineEndpoint;
  readonly #server: Server;
  readonly #steps: Step[];
  readonly #apiKey: string | undefined;
  readonly #faults: string[] = [];
  /** Connections that the client cut before they were answered. */
  cutCount = 0;
  /** Requests that have come, whole. */
  askedCount = 0;

  private constructor(server: Server, endpoint: EngineEndpoint, steps: readonly Step[], apiKey: string | undefined) {
    this.#server = server;
    this.endpoint = endpoint;
    this.#steps = [...steps];
    this.#apiKey = apiKey;
    server.on('request', (request, response) => {
      this.#answer(request, response).catch((error: unknown) => this.#faults.push(String(error)));
    });
  }

  static async listen(steps: readonly Step[], options: { uds?: string; apiKey?: string } = {}): Promise<FakeEngine> {
    const server = createServer();
    if (options.uds === undefined) server.listen(0, '127.0.0.1');
    else server.listen(options.uds);
    await once(server, 'listening');
    const { port } = options.uds === undefined ? (server.address() as AddressInfo) : { port: 1 };
    const endpoint = { url: `http://127.0.0.1:${port}`, uds: options.uds };
    return new FakeEngine(server, endpoint, steps, options.apiKey);
  }

  /** Fails if a request was not expected, or if an expected request did not arrive. */
  check(): void {
    expect(this.#faults).toEqual([]);
    expect(this.#steps).toEqual([]);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    response.on('close', () => {
      if (!response.writableFinished) this.cutCount++;
    });
    this.askedCount++;
    const step = this.#take(request);
    const fault =
      step === undefined ? `unexpected ${request.method} ${request.url}` : this.#faultOf(request, text, step);
    if (fault !== undefined) {
      this.#faults.push(fault);
      response.writeHead(418).end(fault);
      return;
    }
    const { status = 200, reply = '', location, before } = step!;
    if (before === 'hang') return;
    if (before === 'drop') return void request.socket.destroy();
    if (before === 'half') {
      response.writeHead(status, { 'content-length': 1_000 });
      response.write('{"success":', () => request.socket.end());
      return;
    }
    await before?.();
    const isText = typeof reply === 'string';
    response.writeHead(status, {
      'content-type': isText ? 'text/plain' : 'application/json',
      ...(location && { location }),
    });
    response.end(isText ? reply : JSON.stringify(reply));
  }

  #take({ url }: IncomingMessage): Step | undefined {
    const firstLater = this.#steps.findIndex(({ atOnce }) => atOnce !== true);
    const now = firstLater < 0 ? this.#steps : this.#steps.slice(0, firstLater);
    const at = now.findIndex(({ path }) => path === url);
    return this.#steps.splice(Math.max(at, 0), 1)[0];
  }

  #faultOf(request: IncomingMessage, text: string, step: Step): string | undefined {
    const { method, url, headers } = request;
    const seen = {
      method,
      url,
      body: text === '' ? undefined : JSON.parse(text),
      type: headers['content-type'],
      size: headers['content-length'],
      key: headers.authorization,
    };
    const hasBody = step.body !== undefined;
    const wanted = {
      method: step.method,
      url: step.path,
      body: typeof step.body === 'function' ? (step.body(seen.body) ? seen.body : 'another') : step.body,
      type: hasBody ? 'application/json' : undefined,
      size: hasBody ? String(Buffer.byteLength(text)) : step.method === 'POST' ? '0' : undefined,
      key: this.#apiKey === undefined ? undefined : `Bearer ${this.#apiKey}`,
    };
    const [one, other] = [seen, wanted].map((value) => JSON.stringify(value));
    return one === other ? undefined : `got ${one}, expected ${other}`;
  }
}

/** A logger that keeps all messages as text. */
export function keepingLogger(): Logger & { readonly lines: readonly string[] } {
  const lines: string[] = [];
  const keep = (level: string) => (fields: object, message: string) =>
    void lines.push(`${level} ${message} ${inspect(fields, { depth: 9 })}`);
  return { lines, debug: keep('debug'), info: keep('info'), warn: keep('warn'), error: keep('error') };
}

/** Resolves when it has been called as often as there are parties: shows that calls run at the same time. */
export function meeting(parties: number): () => Promise<void> {
  let open!: () => void;
  const met = new Promise<void>((resolve) => {
    open = resolve;
  });
  let here = 0;
  return () => {
    if (++here === parties) open();
    return met;
  };
}
