import { request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { CheckpointEngineError, type ErrorCode } from '@checkpoint-engine/interface';
import { Deadline } from '@checkpoint-engine/interface/shared';
import type { DifferingRange } from '@checkpoint-engine/ps';
import type { VerifyServer } from '../config/verify-config.ts';
import { type Verification, verdictOf } from './verification.ts';

/** Additional time after the time-out of the server itself. */
const GRACE_MS = 15_000;
const MAX_CHARACTERS = 8 * 2 ** 20;

/** The fields of the route's answer that are used. */
interface Answer {
  readonly checkpoint: string;
  readonly digest?: string;
  readonly checked_bytes: number;
  readonly checked_tensors: number;
  readonly differing: readonly {
    readonly rank: number;
    readonly other_ranks: readonly number[];
    readonly tensor: string;
    readonly offset_bytes: number;
    readonly size_bytes: number;
    readonly expected: string;
    readonly seen: string;
  }[];
  readonly differing_count: number;
  readonly unverified: readonly string[];
  readonly unverified_tensors: number;
}

/** The fields of the answer of `GET /v1/instances` that are used. */
interface Instances {
  readonly instances: readonly {
    readonly endpoint: string;
    readonly weight_version: string;
    readonly checkpoint?: string;
  }[];
}

/**
 * Makes a server compare its engines with a checkpoint that it has registered.
 *
 * @throws The problem in the server's answer, with its code; `CE_PEER_UNREACHABLE`, `CE_TIMEOUT`, `CE_ABORTED`
 */
export async function askServer(
  server: VerifyServer,
  { signal, timeoutMs }: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<Verification> {
  const startedAtMs = performance.now();
  const ask = (method: 'GET' | 'POST', path: string, body?: object) =>
    call(server, { method, path, body }, { signal, timeoutMs: timeoutMs + GRACE_MS });
  const path = `/v1/checkpoints/${encodeURIComponent(server.name)}/verify`;
  const answer = (await ask('POST', path, { timeout: timeoutMs / 1000 })) as Answer;
  const verifiedAtMs = performance.now();
  const { instances } = (await ask('GET', '/v1/instances?ask=true')) as Instances;
  const report = {
    checkpoint: answer.checkpoint,
    digest: answer.digest,
    checkedBytes: answer.checked_bytes,
    checkedTensors: answer.checked_tensors,
    differing: answer.differing.map(
      ({ rank, other_ranks: otherRanks, tensor, offset_bytes, size_bytes, expected, seen }): DifferingRange => {
        return { rank, otherRanks, tensor, offsetBytes: offset_bytes, sizeBytes: size_bytes, expected, seen };
      },
    ),
    differingCount: answer.differing_count,
    unverified: answer.unverified,
    unverifiedTensors: answer.unverified_tensors,
  };
  return {
    ...report,
    ...verdictOf(report),
    instances: instances.map(({ endpoint, weight_version: weightVersion, checkpoint }) => {
      return { endpoint, weightVersion, checkpoint };
    }),
    durationsMs: { verify: verifiedAtMs - startedAtMs },
    warnings: [],
  };
}

interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body: object | undefined;
}

async function call(
  server: VerifyServer,
  { method, path, body }: Call,
  wait: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<unknown> {
  const { url, uds, token } = server;
  const target = new URL(url);
  const headers: Record<string, string> = { accept: 'application/json' };
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const options = { method, headers, agent: false, path: target.pathname.replace(/\/$/, '') + path, socketPath: uds };
  const deadline = new Deadline(`${method} ${path}`, wait, wait.timeoutMs);
  deadline.check();
  const request = target.protocol === 'https:' ? tlsRequest(target, options) : plainRequest(target, options);
  try {
    const answering = new Promise<{ status: number; text: string }>((resolve, reject) => {
      request.on('error', reject);
      request.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          if (text.length < MAX_CHARACTERS) text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        response.on('error', reject);
      });
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
    const { status, text } = await deadline.race(answering);
    const fields = parse(text);
    if (status === 200 && fields !== undefined) return fields;
    throw problemOf(server, status, fields);
  } catch (error) {
    if (CheckpointEngineError.isInstance(error)) throw error;
    throw unreachable(server, error as Error);
  } finally {
    request.destroy();
  }
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Converts the server's error, or the answer of another program. */
function problemOf({ url, uds }: VerifyServer, status: number, fields: Readonly<Record<string, unknown>> = {}) {
  const { code, detail, hint, rank, tensor, output } = fields;
  if (
    typeof code === 'string' &&
    code.startsWith('CE_') &&
    typeof detail === 'string' &&
    code !== 'CE_CONFIG_INVALID'
  ) {
    return new CheckpointEngineError(code as ErrorCode, detail, typeof hint === 'string' ? hint : '', {
      ...{ op: 'verify', peer: uds ?? url, status },
      rank: typeof rank === 'number' ? rank : undefined,
      tensor: typeof tensor === 'string' ? tensor : undefined,
      detail: typeof output === 'string' ? output : undefined,
    });
  }
  return new CheckpointEngineError(
    'CE_REMOTE_FAILED',
    `The server at ${uds ?? url} answered ${status}${typeof detail === 'string' ? `: ${detail}` : ''}`,
    typeof hint === 'string' ? hint : 'Check that the address is that of checkpoint-engine serve, of this release',
    { op: 'verify', peer: uds ?? url, status },
  );
}

function unreachable({ url, uds }: VerifyServer, cause: Error): CheckpointEngineError {
  const where = uds ?? url;
  return new CheckpointEngineError(
    'CE_PEER_UNREACHABLE',
    `The server at ${where} does not answer: ${cause.message || (cause as NodeJS.ErrnoException).code}`,
    'Check that checkpoint-engine serve runs and listens at this address',
    { op: 'verify', peer: where, cause },
  );
}
