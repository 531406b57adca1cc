/**
 * The typed error of checkpoint-engine. Every failure that a caller may need to handle is a
 * {@link CheckpointEngineError} with a stable `code`; incorrect use of an API is a built-in `TypeError` or
 * `RangeError`.
 */
import { fitText } from './fit-text.ts';

/** Stable codes. A code never changes its meaning; messages may. */
export type ErrorCode =
  /** The caller's `AbortSignal` fired; `cause` is its reason. */
  | 'CE_ABORTED'
  /** An operation did not finish within its time-out. */
  | 'CE_TIMEOUT'
  /** A rank stopped answering or its process died; `peer` is that rank. */
  | 'CE_RANK_LOST'
  /** Another rank failed, and this operation with it; `cause` is that rank's error. */
  | 'CE_REMOTE_FAILED'
  /** The object was closed, or is being closed. */
  | 'CE_CLOSED'
  /** The component does not support the request (see its `supports`). */
  | 'CE_NOT_SUPPORTED'
  /** A package or shared library that the command needs is not installed. */
  | 'CE_PACKAGE_NOT_FOUND'
  | 'CE_LIBRARY_NOT_FOUND'
  | 'CE_LIBRARY_TOO_OLD'
  /** There is no device of the requested kind, or the driver refuses it. */
  | 'CE_DEVICE_UNAVAILABLE'
  | 'CE_DEVICE_FAILED'
  | 'CE_DEVICE_OUT_OF_MEMORY'
  | 'CE_HOST_OUT_OF_MEMORY'
  | 'CE_SHM_TOO_SMALL'
  /** Another process holds the named shared memory, or no longer holds it. */
  | 'CE_SHM_FAILED'
  /** Files: missing, unreadable, or different from what their header says. */
  | 'CE_FILE_NOT_FOUND'
  | 'CE_FILE_UNREADABLE'
  | 'CE_FILE_TRUNCATED'
  | 'CE_FILE_CHANGED'
  | 'CE_FILE_INVALID'
  | 'CE_DTYPE_UNKNOWN'
  | 'CE_TENSOR_DUPLICATE'
  | 'CE_TENSOR_MISSING'
  /** Checkpoints. */
  | 'CE_CHECKPOINT_UNKNOWN'
  | 'CE_CHECKPOINT_EXISTS'
  | 'CE_CHECKPOINT_BUSY'
  | 'CE_CHECKPOINT_EMPTY'
  /** A rank was restarted and could not register its share again. */
  | 'CE_CHECKPOINT_LOST'
  | 'CE_METAS_INVALID'
  | 'CE_METAS_MISSING'
  /** Bytes differ from those that were registered. */
  | 'CE_DIGEST_MISMATCH'
  /** Plans. */
  | 'CE_PLAN_NO_RECEIVER'
  | 'CE_PLAN_MEMORY_TOO_SMALL'
  | 'CE_PLAN_MISMATCH'
  /** The rendezvous store and the transports. */
  | 'CE_ADDRESS_IN_USE'
  | 'CE_STORE_UNREACHABLE'
  | 'CE_TOKEN_REFUSED'
  | 'CE_TRANSPORT_FAILED'
  | 'CE_PEER_UNREACHABLE'
  | 'CE_PEER_LOST'
  | 'CE_RANGE_NOT_REGISTERED'
  /** Workers and engines. */
  | 'CE_WORKER_TIMEOUT'
  | 'CE_WORKER_FAILED'
  | 'CE_WORKER_LOST'
  | 'CE_WORKER_PROTOCOL'
  | 'CE_ENGINE_UNREACHABLE'
  | 'CE_ENGINE_FAILED'
  | 'CE_ENGINE_MISMATCH'
  /** The HTTP API: an invalid request, or an update that the server does not know or has forgotten. */
  | 'CE_REQUEST_INVALID'
  | 'CE_UPDATE_UNKNOWN'
  /** The configuration (flags, environment) cannot be used. */
  | 'CE_CONFIG_INVALID'
  | 'CE_INTERNAL';

/** Details of a failure in addition to its message. All fields are optional: only known values are set. */
export interface ErrorDetails {
  /** The rank at which the error arose, 0 and up. */
  readonly rank?: number | undefined;
  /** The rank or address of the other side. */
  readonly peer?: number | string | undefined;
  /** The operation: `broadcast`, `cuMemcpyHtoDAsync`, `POST /collective_rpc`. */
  readonly op?: string | undefined;
  readonly file?: string | undefined;
  readonly tensor?: string | undefined;
  /** The native or HTTP status, as returned by the library. */
  readonly status?: number | undefined;
  /** Text from the library or the other side: `ncclGetLastError`, a worker's traceback. */
  readonly detail?: string | undefined;
  /** Whether the same call may succeed later without other changes. */
  readonly retryable?: boolean | undefined;
  readonly cause?: unknown;
}

const brand: symbol = Symbol.for('@checkpoint-engine/error');

/** The serialized form of an error that travels between processes. */
export interface SerializedError extends Omit<ErrorDetails, 'cause'> {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly cause?: SerializedError | undefined;
}

/**
 * A failure of checkpoint-engine: what happened, where, and how to fix it.
 *
 * Recognize it with {@link CheckpointEngineError.isInstance}, which works across duplicated installs, and distinguish
 * failures by `code`, never by message.
 */
export class CheckpointEngineError extends Error {
  static {
    Object.defineProperty(CheckpointEngineError.prototype, 'name', { value: 'CheckpointEngineError', writable: true });
    Object.defineProperty(CheckpointEngineError.prototype, brand, { value: true });
  }
  readonly code: ErrorCode;
  /** One sentence that says how to fix the failure. */
  readonly hint: string;
  readonly rank: number | undefined;
  readonly peer: number | string | undefined;
  readonly op: string | undefined;
  readonly file: string | undefined;
  readonly tensor: string | undefined;
  readonly status: number | undefined;
  readonly detail: string | undefined;
  readonly retryable: boolean;

  /**
   * Creates an error for the caller to throw.
   *
   * @param code    Stable code.
   * @param what    What happened and where, with the actual and the expected value; no period at the end.
   * @param hint    What to do, as one imperative sentence without a period.
   * @param details Other known facts.
   */
  constructor(code: ErrorCode, what: string, hint: string, details: ErrorDetails = {}) {
    super(what, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = hint;
    this.rank = details.rank;
    this.peer = details.peer;
    this.op = details.op;
    this.file = details.file;
    this.tensor = details.tensor;
    this.status = details.status;
    this.detail = details.detail;
    this.retryable = details.retryable ?? false;
  }

  /** Checks whether `value` is a CheckpointEngineError, from this or another copy of the package. */
  static isInstance(value: unknown): value is CheckpointEngineError {
    return typeof value === 'object' && value !== null && brand in value;
  }

  /**
   * Returns the error as plain data, from which {@link CheckpointEngineError.fromJSON} restores it in another process.
   */
  toJSON(): SerializedError {
    const { code, message, hint, rank, peer, op, file, tensor, status, detail, retryable } = this;
    const cause = this.cause === undefined ? undefined : toCheckpointEngineError(this.cause).toJSON();
    return { code, message, hint, rank, peer, op, file, tensor, status, detail, retryable, cause };
  }

  /**
   * Restores an error that another process serialized. Ignores unknown fields and fields of the wrong
   * type, and shortens very long texts: the result is an error for any `data`.
   */
  static fromJSON(data: SerializedError): CheckpointEngineError {
    return restore(data, MAX_CAUSES);
  }
}

/** Maximum number of characters of a text that another process sent. */
const TEXT_CHARACTERS = 8_192;
const DETAIL_CHARACTERS = 65_536;

/** Maximum number of nested causes that are restored; the rest of a longer chain is dropped. */
const MAX_CAUSES = 32;

function restore(data: unknown, causes: number): CheckpointEngineError {
  const fields: Record<string, unknown> = typeof data === 'object' && data !== null ? { ...data } : {};
  const text = (name: string, characters = TEXT_CHARACTERS): string | undefined => {
    const value = fields[name];
    return typeof value === 'string' ? fitText(value, characters) : undefined;
  };
  const number = (name: string): number | undefined => {
    const value = fields[name];
    return typeof value === 'number' ? value : undefined;
  };
  const isCause = typeof fields.cause === 'object' && fields.cause !== null && causes > 0;
  const details: ErrorDetails = {
    rank: number('rank'),
    peer: number('peer') ?? text('peer'),
    op: text('op'),
    file: text('file'),
    tensor: text('tensor'),
    status: number('status'),
    detail: text('detail', DETAIL_CHARACTERS),
    retryable: fields.retryable === true,
    cause: isCause ? restore(fields.cause, causes - 1) : undefined,
  };
  const code = (text('code') ?? 'CE_INTERNAL') as ErrorCode;
  const message = text('message') ?? 'The other side failed without a reason';
  if (code === 'CE_RANK_LOST' && typeof details.peer === 'number') {
    return new RankLostError(details.peer, message, details);
  }
  return new CheckpointEngineError(code, message, text('hint') ?? 'Check the log of the other side', details);
}

/** A rank died or stopped answering. Its `code` is `CE_RANK_LOST` and {@link RankLostError.lostRank} names it. */
export class RankLostError extends CheckpointEngineError {
  static {
    Object.defineProperty(RankLostError.prototype, 'name', { value: 'RankLostError', writable: true });
  }
  readonly lostRank: number;

  /** Creates the error for the loss of `lostRank`; `what` and `details` as in {@link CheckpointEngineError}. */
  constructor(lostRank: number, what: string = `Rank ${lostRank} was lost`, details: ErrorDetails = {}) {
    super(
      'CE_RANK_LOST',
      what,
      `Check the log of rank ${lostRank}, restart it, and run the update again: the registered checkpoints are intact`,
      { ...details, peer: lostRank },
    );
    this.lostRank = lostRank;
  }
}

/**
 * Converts any thrown value. Returns a CheckpointEngineError unchanged, maps a system error to the matching code, and
 * maps everything else to `CE_INTERNAL`.
 */
export function toCheckpointEngineError(value: unknown): CheckpointEngineError {
  if (CheckpointEngineError.isInstance(value)) return value;
  const error = value instanceof Error ? value : new Error(String(value));
  const system = systemError(error);
  if (system !== undefined) return system;
  return new CheckpointEngineError(
    'CE_INTERNAL',
    error.message,
    'Report this error with the log: it should not happen',
    {
      cause: error.cause,
      detail: error.stack,
    },
  );
}

/** Code and hint for each failed system call, by the system's code. */
const SYSTEM_ERRORS: Readonly<Record<string, readonly [code: ErrorCode, hint: string]>> = {
  ENOENT: ['CE_FILE_NOT_FOUND', 'Correct the path'],
  ENOTDIR: ['CE_FILE_NOT_FOUND', 'Correct the path'],
  EMFILE: ['CE_FILE_UNREADABLE', 'Raise the limit of open files (ulimit -n)'],
  ENFILE: ['CE_FILE_UNREADABLE', 'Raise the limit of open files of the system'],
  ENOMEM: ['CE_HOST_OUT_OF_MEMORY', 'Free host memory'],
  EADDRINUSE: ['CE_ADDRESS_IN_USE', 'Use another address, or stop the process that uses it'],
  EADDRNOTAVAIL: ['CE_CONFIG_INVALID', 'Use an address of this host'],
  ECONNREFUSED: ['CE_PEER_UNREACHABLE', 'Check that the other side listens at this address'],
  EHOSTUNREACH: ['CE_PEER_UNREACHABLE', 'Check the address and the network'],
  ENETUNREACH: ['CE_PEER_UNREACHABLE', 'Check the address and the network'],
  ENOTFOUND: ['CE_PEER_UNREACHABLE', 'Check the name of the host'],
  EAI_AGAIN: ['CE_PEER_UNREACHABLE', 'Check the name of the host and the name server'],
  ETIMEDOUT: ['CE_TIMEOUT', 'Check the address and the network'],
  ECONNRESET: ['CE_PEER_LOST', 'Check the log of the other side'],
  ECONNABORTED: ['CE_PEER_LOST', 'Check the log of the other side'],
  EPIPE: ['CE_PEER_LOST', 'Check the log of the other side'],
};
/** For a file that the system cannot open or read for any other reason. */
const UNREADABLE = [
  'CE_FILE_UNREADABLE',
  "Check the user's permissions, the disk and the log of the file system",
] as const;

/** Creates the error for a failed system call; returns `undefined` for other errors. */
function systemError(error: Error): CheckpointEngineError | undefined {
  const { code, errno, syscall, path } = error as Error & Readonly<Record<string, unknown>>;
  if (typeof code !== 'string' || !/^E[A-Z0-9_]+$/.test(code) || typeof syscall !== 'string') return undefined;
  const [kind, hint] = SYSTEM_ERRORS[code] ?? UNREADABLE;
  return new CheckpointEngineError(kind, error.message, hint, {
    op: syscall,
    file: typeof path === 'string' ? path : undefined,
    status: typeof errno === 'number' ? Math.abs(errno) : undefined,
    cause: error.cause,
  });
}

/**
 * Converts the reason of an aborted signal into the error to throw: a CheckpointEngineError unchanged, anything else to
 * `CE_ABORTED`.
 */
export function abortError(signal: AbortSignal, op?: string): CheckpointEngineError {
  const reason: unknown = signal.reason;
  if (CheckpointEngineError.isInstance(reason)) return reason;
  if (reason instanceof Error && reason.name === 'TimeoutError') {
    return new CheckpointEngineError('CE_TIMEOUT', `${op ?? 'The operation'} timed out`, 'Raise the time-out', { op });
  }
  return new CheckpointEngineError('CE_ABORTED', `${op ?? 'The operation'} was aborted`, 'Start it again when ready', {
    op,
    cause: reason,
  });
}
