import { statSync } from 'node:fs';
import { connect } from 'node:tls';
import { CheckpointEngineError, type ErrorDetails } from '@checkpoint-engine/interface';
import type { EngineEndpoint } from './engine-client.ts';
import { type EngineHttp, isMissing } from './engine-http.ts';
import { parseFields } from './replies.ts';

/** Time limit for a check of a server that is probably the wrong one. */
const QUERY_TIMEOUT_MS = 2_000;

/** Paths that engines answer when they are ready. They identify an engine of another kind than the configured one. */
const READY_PATHS: readonly { readonly path: string; readonly engine: string }[] = [
  { path: '/healthz', engine: 'worker' },
  { path: '/ping', engine: 'sglang' },
  { path: '/health', engine: 'vllm or lmdeploy' },
];

/** A name that cannot be resolved may resolve a moment later, but not after this many attempts. */
const MAX_LOOKUPS = 3;

/** A failed check of an engine. */
export interface FailedCheck {
  readonly endpoint: EngineEndpoint;
  readonly path: string;
  readonly error: unknown;
  /** Number of checks that have failed before. */
  readonly before: number;
  readonly signal: AbortSignal;
}

/**
 * Returns why a repetition cannot help: another server answers, or the address reaches no server. Returns `undefined`
 * if the engine may still be starting: the connection is refused, or the engine answers with its own error.
 */
export async function lastingFailure(http: EngineHttp, check: FailedCheck): Promise<CheckpointEngineError | undefined> {
  const { endpoint, error } = check;
  const failed = (what: string, hint: string, details: ErrorDetails = {}): CheckpointEngineError =>
    new CheckpointEngineError('CE_ENGINE_UNREACHABLE', `${http.name} at ${http.shown(endpoint)} ${what}`, hint, {
      op: `GET ${check.path}`,
      peer: http.shown(endpoint),
      cause: error,
      ...details,
    });
  if (isMissing(error)) return await wrongServer(http, check, failed);
  const { code = '', message } = causeOf(error);
  const { hostname, protocol } = new URL(endpoint.url);
  if (code === 'ENOTFOUND' || (code === 'EAI_AGAIN' && check.before + 1 >= MAX_LOOKUPS)) {
    return failed(
      `cannot be reached: the name ${hostname} does not resolve (${code})`,
      'Correct the host of --endpoint',
    );
  }
  const other = endpoint.uds === undefined ? undefined : fileAt(endpoint.uds);
  if (other !== undefined) {
    return failed(`cannot be reached: "${endpoint.uds}" is ${other}, not a socket`, 'Correct --uds', {
      file: endpoint.uds,
    });
  }
  if (code === 'EACCES' || code === 'ENOTSOCK' || code === 'EPERM') {
    return failed(`cannot be reached: ${message}`, 'Correct --uds, or the permissions of the socket');
  }
  if (protocol === 'https:' && isWrongVersion(code, message)) {
    return failed('does not use TLS', 'Write its address with http://', { detail: message });
  }
  if (protocol === 'https:' && isTls(code, message)) {
    const hint =
      'Set NODE_EXTRA_CA_CERTS to the certificate of the authority that signed its certificate, and use the host name in the certificate';
    return failed(`cannot be reached over TLS: ${message}`, hint, { detail: message });
  }
  if (protocol === 'http:' && isNoHttp(code, error) && (await speaksTls(endpoint, check.signal))) {
    return failed('uses TLS', 'Write its address with https://');
  }
  if (code.startsWith('HPE_')) {
    return failed(`does not use HTTP: ${message}`, 'Check the port of --endpoint: the program there is not an engine');
  }
  if (CheckpointEngineError.isInstance(error) && isLastingStatus(error.status)) {
    const hint = 'Check the address: an engine that is starting does not answer like this';
    return failed(`answers ${check.path} with ${error.status}`, hint, { status: error.status, detail: error.detail });
  }
  return undefined;
}

/** The statuses 400 to 499 report a fault of the request, except these, which ask for another attempt. */
const TRY_AGAIN: readonly number[] = [408, 409, 423, 425, 429];

function isLastingStatus(status = 0): boolean {
  return status >= 400 && status < 500 && !TRY_AGAIN.includes(status);
}

async function wrongServer(
  http: EngineHttp,
  { endpoint, path, error, signal }: FailedCheck,
  failed: (what: string, hint: string, details?: ErrorDetails) => CheckpointEngineError,
): Promise<CheckpointEngineError> {
  const { status } = error as CheckpointEngineError;
  const what = `has no ${path}: it answers ${status}`;
  for (const { path: other, engine } of READY_PATHS) {
    if (other === path) continue;
    const reply = await http
      .call(endpoint, { method: 'GET', path: other }, { signal, timeoutMs: QUERY_TIMEOUT_MS })
      .catch(() => undefined);
    const isOther = reply !== undefined && (engine !== 'worker' || 'protocol' in parseFields(reply.text));
    if (isOther) return failed(what, `It answers GET ${other}: use --engine ${engine}`, { status });
  }
  const { pathname, origin } = new URL(endpoint.url);
  const hint =
    pathname === '/'
      ? 'Check the address, and --engine: vllm, sglang, lmdeploy and worker answer at different paths'
      : `Remove ${pathname} from the address (${origin}), unless a proxy needs it; check --engine as well`;
  return failed(what, hint, { status });
}

/** Describes a file at the path of a socket that is not a socket. A socket that does not exist may still be created. */
function fileAt(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined || found.isSocket()) return undefined;
  if (found.isFIFO()) return 'a FIFO';
  return found.isDirectory() ? 'a directory' : 'a file';
}

function causeOf(error: unknown): NodeJS.ErrnoException {
  const { cause } = error as { cause?: unknown };
  return (cause instanceof Error ? cause : error) as NodeJS.ErrnoException;
}

function isWrongVersion(code: string, message: string): boolean {
  return /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/.test(code) || /wrong version number/i.test(message);
}

/** Failures of certificates and handshakes. A connection that breaks off may be a server that is starting. */
function isTls(code: string, message: string): boolean {
  return (
    /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|EPROTO|HOSTNAME_MISMATCH|INVALID_CA)/.test(code) ||
    /certificate|SSL alert|tlsv1 alert|handshake failure/i.test(message)
  );
}

/** Answers of servers that expect TLS: bytes that are not HTTP, a closed connection, or an error page. */
function isNoHttp(code: string, error: unknown): boolean {
  const status = CheckpointEngineError.isInstance(error) ? error.status : undefined;
  return status === 400 || code === 'ECONNRESET' || code.startsWith('HPE_');
}

/** Whether a TLS handshake succeeds, with any certificate. */
function speaksTls({ url, uds }: EngineEndpoint, signal: AbortSignal): Promise<boolean> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const where = uds === undefined ? { host, port: Number(port || 80) } : { path: uds };
  return new Promise((resolve) => {
    const socket = connect({ ...where, rejectUnauthorized: false });
    const end = (speaks: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', give);
      socket.destroy();
      resolve(speaks);
    };
    const give = (): void => end(false);
    const timer = setTimeout(give, QUERY_TIMEOUT_MS);
    signal.addEventListener('abort', give, { once: true });
    socket.once('secureConnect', () => end(true));
    socket.once('error', give);
    socket.once('close', give);
  });
}
