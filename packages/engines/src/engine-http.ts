import { CheckpointEngineError, fitText, type Logger } from '@checkpoint-engine/interface';
import type { EngineAdapter } from './adapter.ts';
import type { EngineEndpoint, EngineWait } from './engine-client.ts';
import { type HttpCall, type HttpReply, httpRequest } from './http-request.ts';
import { messageIn, parseFields } from './replies.ts';

/** Most characters of an engine's reason in a message. */
const WHY_CHARACTERS = 1_000;
/** Maximum length of the path of a Unix socket on Linux, in bytes. */
const MAX_SOCKET_PATH_BYTES = 107;

/** Options of {@link EngineHttp}. */
export interface EngineHttpOptions {
  readonly name: string;
  readonly hints: EngineAdapter['hints'];
  readonly endpoints: readonly EngineEndpoint[];
  readonly apiKey: string | undefined;
  readonly logger: Logger;
}

/** Sends requests to an engine and explains their failures. Errors contain no secret. */
export class EngineHttp {
  readonly #options: EngineHttpOptions;

  /** @throws `CE_CONFIG_INVALID` for an endpoint that is not a URL, or an API key that no header can carry. */
  constructor(options: EngineHttpOptions) {
    for (const { url, uds } of options.endpoints) {
      checkUrl(url);
      checkSocket(uds);
    }
    checkApiKey(options.apiKey);
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  /** An endpoint for messages: without a password in its URL. */
  shown({ url, uds }: EngineEndpoint): string {
    const address = new URL(url);
    address.username = '';
    address.password = '';
    const text = address.href.replace(/\/$/, '');
    return uds === undefined ? text : `${text} over ${uds}`;
  }

  /**
   * Sends one request and returns the answer.
   *
   * @throws `CE_ENGINE_FAILED` for a status other than 200 to 299 and for a web page; `CE_ENGINE_UNREACHABLE`, `CE_TIMEOUT`, `CE_ABORTED`.
   */
  async call(endpoint: EngineEndpoint, call: HttpCall, wait: EngineWait): Promise<HttpReply> {
    const { name, apiKey, logger } = this.#options;
    const { method, path } = call;
    logger.debug({ engine: name, url: this.shown(endpoint), method, path }, 'Request to the engine');
    const reply = await this.#send(endpoint, call, wait);
    const text = apiKey === undefined ? reply.text : reply.text.replaceAll(apiKey, '***');
    const safe = { ...reply, text };
    if (!isFine(reply)) throw this.failed(endpoint, call, safe, whyOf(safe));
    if (isWebPage(safe)) throw this.failed(endpoint, call, safe, 'a web page, which no engine sends', WEB_PAGE_HINT);
    return safe;
  }

  /** The error for an answer that means a failure. */
  failed(
    endpoint: EngineEndpoint,
    { method, path }: HttpCall,
    { status, text }: HttpReply,
    why: string,
    hint: string = hintIn(text, status) ?? this.#hintFor(status),
  ): CheckpointEngineError {
    const address = this.shown(endpoint);
    return new CheckpointEngineError(
      'CE_ENGINE_FAILED',
      `${this.name} at ${address} answered ${method} ${path} with ${status}: ${fitText(why, WHY_CHARACTERS)}`,
      hint,
      { op: `${method} ${path}`, peer: address, status, detail: detailIn(text) },
    );
  }

  async #send(endpoint: EngineEndpoint, call: HttpCall, wait: EngineWait): Promise<HttpReply> {
    const { apiKey, hints, name } = this.#options;
    const address = this.shown(endpoint);
    try {
      return await httpRequest(endpoint, { ...call, apiKey, shownAs: address }, wait);
    } catch (error) {
      const isTimeout = CheckpointEngineError.isInstance(error) && error.code === 'CE_TIMEOUT' && !wait.signal.aborted;
      if (!isTimeout) throw error;
      const op = `${call.method} ${call.path}`;
      throw new CheckpointEngineError(
        'CE_TIMEOUT',
        `${name} at ${address} did not answer ${op} within ${Math.round(wait.timeoutMs)} ms`,
        hints.slow,
        { op, peer: address },
      );
    }
  }

  #hintFor(status: number): string {
    const { missing, failed } = this.#options.hints;
    if (status === 401 || status === 403) return "Pass the engine's API key";
    if (PROXY_LOGIN.includes(status)) return "Give the engine's own address: a proxy requires a login";
    if (status === 404 || status === 405 || status === 501) return missing;
    return status >= 300 && status < 400 ? "Give the engine's own address: redirects are not followed" : failed;
  }
}

/** Returns the engine's own hint, unless the request lacks something: our hint is better for that. */
function hintIn(text: string, status: number): string | undefined {
  const { hint } = parseFields(text);
  return status >= 500 && typeof hint === 'string' && hint.trim() !== '' ? hint.slice(0, 500) : undefined;
}

/** Most characters of an engine's answer in an error. */
const DETAIL_CHARACTERS = 65_536;

/** The output of the other side: the stack in a problem document, or the answer. */
function detailIn(text: string): string {
  const { error } = parseFields(text);
  if (typeof error !== 'object' || error === null || !('code' in error)) return fitText(text, DETAIL_CHARACTERS);
  const detail = 'detail' in error && typeof error.detail === 'string' ? error.detail : messageIn(text);
  return fitText(detail, DETAIL_CHARACTERS);
}

/** Whether the engine answered that the route does not exist. */
export function isMissing(error: unknown): boolean {
  return hasStatus(error, [404, 405, 501]);
}

/**
 * Whether a repetition cannot help: the key is wrong, the engine has another address, a proxy requires a login, or a
 * web page answers.
 */
export function isRefused(error: unknown): boolean {
  if (CheckpointEngineError.isInstance(error) && error.hint === WEB_PAGE_HINT) return true;
  return hasStatus(error, [401, 403, 301, 302, 303, 307, 308, ...PROXY_LOGIN]);
}

/** Statuses of proxies that require a login, which no engine sends. */
const PROXY_LOGIN: readonly number[] = [407, 511];

const WEB_PAGE_HINT = 'Check the address: a website or the sign-in page of a proxy answers there';

function isWebPage({ text }: HttpReply): boolean {
  return /^\s*<(!doctype\s+html|html)[\s>]/i.test(text);
}

function hasStatus(error: unknown, statuses: readonly number[]): boolean {
  return CheckpointEngineError.isInstance(error) && error.status !== undefined && statuses.includes(error.status);
}

const isFine = ({ status }: HttpReply): boolean => status >= 200 && status < 300;

function whyOf({ location, text }: HttpReply): string {
  return location === undefined ? messageIn(text) : `it is at ${location}`;
}

function checkUrl(url: string): void {
  const protocol = URL.canParse(url) ? new URL(url).protocol : undefined;
  if (protocol === 'http:' || protocol === 'https:') return;
  throw new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `Engine endpoint "${url}" is not an HTTP URL`,
    'Write it as http://HOST:PORT; give the path of a Unix socket separately',
  );
}

/** Longer paths are truncated silently, and the connection goes to another socket. */
function checkSocket(uds: string | undefined): void {
  const sizeBytes = new TextEncoder().encode(uds ?? 'none').byteLength;
  if (sizeBytes > 0 && sizeBytes <= MAX_SOCKET_PATH_BYTES) return;
  throw new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `The path of the engine's socket has ${sizeBytes} bytes, expected 1 to ${MAX_SOCKET_PATH_BYTES}: "${uds}"`,
    'Configure the engine to listen on a shorter path',
  );
}

function checkApiKey(apiKey: string | undefined): void {
  if (apiKey === undefined || /^[\x21-\x7e]+$/.test(apiKey)) return;
  throw new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `The engine's API key (${apiKey.length} characters) is empty or has spaces, line ends or other characters that no HTTP header can carry`,
    'Check its source: files often end with a line break',
  );
}
