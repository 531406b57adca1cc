import { setTimeout as sleep } from 'node:timers/promises';
import { abortError, CheckpointEngineError, type Logger, silentLogger } from '@checkpoint-engine/interface';
import { type EngineAdapter, parseJson } from './adapter.ts';
import type { EngineClient, EngineEndpoint, EngineOptions, EngineUpdate, EngineWait } from './engine-client.ts';
import { type HttpCall, type HttpReply, httpRequest } from './http-request.ts';
import { onAll } from './on-all.ts';

/** Pauses between two looks whether an engine is ready. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;
/** How long one look may take. */
const LOOK_TIMEOUT_MS = 5_000;

/** The client of an engine whose update is one request. */
export class HttpEngine implements EngineClient {
  readonly name: string;
  readonly endpoints: readonly EngineEndpoint[];
  readonly #adapter: EngineAdapter;
  readonly #updatePath: string;
  readonly #apiKey: string | undefined;
  readonly #logger: Logger;

  /** @throws `CE_CONFIG_INVALID` for an endpoint that is no URL. */
  constructor(adapter: EngineAdapter, { endpoints, apiKey, updatePath, logger }: EngineOptions) {
    if (endpoints.length === 0) throw new TypeError('An engine needs at least one endpoint');
    for (const { url } of endpoints) checkUrl(url);
    this.name = adapter.name;
    this.endpoints = endpoints;
    this.#adapter = adapter;
    this.#updatePath = updatePath ?? adapter.updatePath;
    this.#apiKey = apiKey;
    this.#logger = logger ?? silentLogger;
  }

  async ready({ signal, timeoutMs }: EngineWait): Promise<void> {
    await onAll(this.endpoints, signal, (endpoint, stop) => this.#untilReady(endpoint, { signal: stop, timeoutMs }));
  }

  async update(update: EngineUpdate): Promise<void> {
    await onAll(this.endpoints, update.signal, (endpoint, signal) => this.updateOne(endpoint, { ...update, signal }));
  }

  /** Asks one endpoint for the update. */
  async updateOne(endpoint: EngineEndpoint, update: EngineUpdate): Promise<void> {
    const call: HttpCall = { method: 'POST', path: this.#updatePath, body: this.#adapter.body(update) };
    const { status, text } = await this.call(endpoint, call, update);
    const failure = this.#adapter.failureIn(text);
    if (failure !== undefined) throw this.#failed(endpoint, call, { status, text }, failure);
  }

  /**
   * Sends one request and gives the answer.
   *
   * @throws `CE_ENGINE_FAILED` for a status other than 200 to 299, and as {@link EngineClient.update}.
   */
  async call(endpoint: EngineEndpoint, call: HttpCall, wait: EngineWait): Promise<HttpReply> {
    this.#logger.debug(
      { engine: this.name, url: endpoint.url, method: call.method, path: call.path },
      'Asking the engine',
    );
    let reply: HttpReply;
    try {
      reply = await httpRequest(endpoint, { ...call, apiKey: this.#apiKey }, wait);
    } catch (error) {
      const isTimeout = CheckpointEngineError.isInstance(error) && error.code === 'CE_TIMEOUT' && !wait.signal.aborted;
      throw isTimeout ? this.#slow(endpoint, call, wait.timeoutMs) : error;
    }
    if (!isFine(reply)) throw this.#failed(endpoint, call, reply, messageIn(reply.text));
    return reply;
  }

  async #untilReady(endpoint: EngineEndpoint, { signal, timeoutMs }: EngineWait): Promise<void> {
    const call: HttpCall = { method: 'GET', path: this.#adapter.readyPath, apiKey: this.#apiKey };
    const endsAt = performance.now() + timeoutMs;
    let pauseMs = FIRST_PAUSE_MS;
    let last: unknown;
    for (;;) {
      const leftMs = Math.max(1, endsAt - performance.now());
      try {
        const reply = await httpRequest(endpoint, call, { signal, timeoutMs: Math.min(LOOK_TIMEOUT_MS, leftMs) });
        if (isFine(reply)) return;
        last = this.#failed(endpoint, call, reply, messageIn(reply.text));
        if (reply.status === 401 || reply.status === 403) throw last;
      } catch (error) {
        if (signal.aborted || error === last) throw error;
        last = error;
      }
      if (performance.now() + pauseMs >= endsAt) throw this.#notReady(endpoint, call, timeoutMs, last);
      await pause(pauseMs, signal);
      pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 1.5);
    }
  }

  #failed(
    endpoint: EngineEndpoint,
    { method, path }: HttpCall,
    { status, text }: HttpReply,
    why: string,
  ): CheckpointEngineError {
    const { missing, failed } = this.#adapter.hints;
    const hint =
      status === 401 || status === 403
        ? "Pass the engine's API key"
        : status === 404 || status === 405 || status === 501
          ? missing
          : failed;
    return new CheckpointEngineError(
      'CE_ENGINE_FAILED',
      `${this.name} at ${endpoint.url} answered ${method} ${path} with ${status}: ${why}`,
      hint,
      { op: `${method} ${path}`, peer: endpoint.url, status, detail: text },
    );
  }

  #slow(endpoint: EngineEndpoint, { method, path }: HttpCall, timeoutMs: number): CheckpointEngineError {
    return new CheckpointEngineError(
      'CE_TIMEOUT',
      `${this.name} at ${endpoint.url} did not answer ${method} ${path} within ${Math.round(timeoutMs)} ms`,
      this.#adapter.hints.slow,
      { op: `${method} ${path}`, peer: endpoint.url },
    );
  }

  #notReady(
    endpoint: EngineEndpoint,
    { method, path }: HttpCall,
    timeoutMs: number,
    cause: unknown,
  ): CheckpointEngineError {
    const last = cause instanceof Error ? `; last: ${cause.message}` : '';
    return new CheckpointEngineError(
      'CE_ENGINE_UNREACHABLE',
      `${this.name} at ${endpoint.url} was not ready within ${timeoutMs} ms${last}`,
      'Start the engine, check its address, or raise the time-out',
      { op: `${method} ${path}`, peer: endpoint.url, retryable: true, cause },
    );
  }
}

const isFine = ({ status }: HttpReply): boolean => status >= 200 && status < 300;

/** The sentence in an error answer: engines put it in one of these fields. */
function messageIn(text: string): string {
  const reply = parseJson(text);
  const fields = (typeof reply === 'object' && reply !== null ? reply : {}) as Record<string, unknown>;
  const found = [fields.message, fields.detail, fields.error, fields.title, reply].find(
    (value) => typeof value === 'string',
  );
  return String(found ?? (text.trim() || 'no text')).slice(0, 500);
}

function checkUrl(url: string): void {
  const protocol = URL.canParse(url) ? new URL(url).protocol : undefined;
  if (protocol === 'http:' || protocol === 'https:') return;
  throw new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `Engine endpoint "${url}" is no HTTP URL`,
    'Write it as http://HOST:PORT; give the path of a Unix socket apart from it',
  );
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    throw abortError(signal, 'Waiting for the engine');
  }
}
