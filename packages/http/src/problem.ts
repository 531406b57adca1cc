import { CheckpointEngineError, type ErrorCode, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { HTTPException } from 'hono/http-exception';

/** An error as RFC 9457 problem details. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly hint: string;
  readonly rank?: number | undefined;
  readonly peer?: string | undefined;
  readonly op?: string | undefined;
  readonly file?: string | undefined;
  readonly tensor?: string | undefined;
  /** The output of the other side: a worker's traceback, an engine's answer. */
  readonly output?: string | undefined;
  readonly retryable: boolean;
}

/** Statuses by code; all other codes have 500. */
const STATUSES: Partial<Record<ErrorCode, number>> = {
  CE_REQUEST_INVALID: 422,
  CE_CONFIG_INVALID: 422,
  CE_TOKEN_REFUSED: 401,
  CE_UPDATE_UNKNOWN: 404,
  CE_CHECKPOINT_UNKNOWN: 404,
  CE_CHECKPOINT_EXISTS: 409,
  CE_CHECKPOINT_BUSY: 409,
  CE_CHECKPOINT_LOST: 409,
  CE_METAS_MISSING: 409,
  CE_PLAN_MISMATCH: 409,
  CE_ABORTED: 409,
  CE_CHECKPOINT_EMPTY: 422,
  CE_METAS_INVALID: 422,
  CE_FILE_NOT_FOUND: 422,
  CE_FILE_UNREADABLE: 422,
  CE_FILE_TRUNCATED: 422,
  CE_FILE_CHANGED: 409,
  CE_FILE_INVALID: 422,
  CE_DTYPE_UNKNOWN: 422,
  CE_TENSOR_DUPLICATE: 422,
  CE_TENSOR_MISSING: 422,
  CE_PLAN_NO_RECEIVER: 422,
  CE_PLAN_MEMORY_TOO_SMALL: 422,
  CE_NOT_SUPPORTED: 422,
  CE_WORKER_TIMEOUT: 504,
  CE_WORKER_FAILED: 502,
  CE_WORKER_LOST: 502,
  CE_WORKER_PROTOCOL: 502,
  CE_ENGINE_UNREACHABLE: 502,
  CE_ENGINE_FAILED: 502,
  CE_ENGINE_MISMATCH: 502,
  CE_DIGEST_MISMATCH: 502,
  CE_TIMEOUT: 504,
  CE_RANK_LOST: 503,
  CE_CLOSED: 503,
  CE_HOST_OUT_OF_MEMORY: 507,
};

/** Hints for clients of the API, for errors whose own hints name functions. */
const HINTS: Partial<Record<ErrorCode, string>> = {
  CE_METAS_MISSING: 'POST /v1/checkpoints/{name}/gather-metas after registration, and again after each registration',
};

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  507: 'Insufficient Storage',
};

/** A request that cannot be served. */
export class RequestError extends CheckpointEngineError {
  readonly httpStatus: number;

  constructor(httpStatus: number, what: string, hint: string, code: ErrorCode = 'CE_REQUEST_INVALID') {
    super(code, what, hint);
    this.httpStatus = httpStatus;
  }
}

/** Returns the answer for an exception. Other errors are answered without their stack. */
export function problemOf(thrown: unknown): Problem {
  const error = asError(thrown);
  const status = error instanceof RequestError ? error.httpStatus : (STATUSES[error.code] ?? 500);
  return {
    type: 'about:blank',
    title: TITLES[status] ?? 'Error',
    status,
    detail: error.message,
    code: error.code,
    hint: HINTS[error.code] ?? error.hint,
    rank: error.rank,
    peer: error.peer === undefined ? undefined : String(error.peer),
    op: error.op,
    file: error.file,
    tensor: error.tensor,
    output: error.code === 'CE_INTERNAL' ? undefined : error.detail,
    retryable: error.retryable,
  };
}

/** The answer of a problem. @param headers Those that middleware has set for it. */
export function problemResponse(problem: Problem, headers: Headers): Response {
  const kept = ['www-authenticate', 'allow', 'retry-after'].flatMap((name): [string, string][] => {
    const value = headers.get(name);
    return value === null ? [] : [[name, value]];
  });
  return new Response(JSON.stringify(problem), {
    status: problem.status,
    headers: [['content-type', 'application/problem+json'], ...kept],
  });
}

function asError(thrown: unknown): CheckpointEngineError {
  if (!(thrown instanceof HTTPException)) return toCheckpointEngineError(thrown);
  if (thrown.status === 415) {
    return new RequestError(415, 'The type of the body is missing or not JSON', 'Send Content-Type: application/json');
  }
  const what = thrown.message || TITLES[thrown.status] || 'The request was rejected';
  return new RequestError(thrown.status, what, 'Send what /openapi.json describes');
}
