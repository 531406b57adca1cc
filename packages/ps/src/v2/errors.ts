import {
  CheckpointEngineError,
  type ErrorCode,
  type SerializedError,
  toCheckpointEngineError,
  WORKER_PROTOCOL_VERSION,
} from '@checkpoint-engine/interface';

/** The session, which is part of every error. */
export interface SessionIdentity {
  readonly deviceUuid: string;
  readonly rank: number;
}

export function workerTimeout(who: SessionIdentity, whatFor: string, timeoutMs: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_WORKER_TIMEOUT',
    `The worker on device "${who.deviceUuid}" did not ${whatFor} within ${timeoutMs} ms`,
    whatFor === 'connect'
      ? 'Check that the engine received this address, that it owns the device with this UUID, and that both processes share a network namespace'
      : "Check the engine's log, or raise the time-out",
    { rank: who.rank, peer: who.deviceUuid },
  );
}

export function workerLost(who: SessionIdentity, cause?: Error): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_WORKER_LOST',
    `The worker on device "${who.deviceUuid}" closed its connection during the update`,
    "Check the engine's log for why it died, restart it, and run the update again",
    { rank: who.rank, peer: who.deviceUuid, cause },
  );
}

export function workerBroke(who: SessionIdentity, what: string, spoken: unknown, cause?: Error): CheckpointEngineError {
  const version = typeof spoken === 'number' ? spoken : 'an unknown version';
  return new CheckpointEngineError(
    'CE_WORKER_PROTOCOL',
    `The worker on device "${who.deviceUuid}" sent ${what}; this server uses protocol ${WORKER_PROTOCOL_VERSION}, the worker ${version}`,
    'Install the same release of @checkpoint-engine/worker and @checkpoint-engine/ps on both sides',
    { rank: who.rank, peer: who.deviceUuid, cause },
  );
}

/** The error that a worker reported, from any value that it sent. */
export function workerFailed(who: SessionIdentity, reported: unknown): CheckpointEngineError {
  const fields: Record<string, unknown> = typeof reported === 'object' && reported !== null ? { ...reported } : {};
  const message = text(fields.message) ?? 'it gave no reason';
  const detail = text(fields.detail);
  return new CheckpointEngineError(
    'CE_WORKER_FAILED',
    `The worker on device "${who.deviceUuid}" failed: ${message}`,
    adviceOf(fields) ?? "Check the worker's stack in detail, and the engine's log",
    {
      rank: who.rank,
      peer: who.deviceUuid,
      tensor: text(fields.tensor),
      detail,
      cause: new CheckpointEngineError(
        (text(fields.code) ?? 'CE_INTERNAL') as ErrorCode,
        message,
        text(fields.hint) ?? '',
        { detail },
      ),
    },
  );
}

/** Returns the worker's own hint, unless the engine's code threw the error and the hint is about its stack. */
function adviceOf({ code, hint }: Record<string, unknown>): string | undefined {
  return code === 'CE_WORKER_FAILED' ? undefined : text(hint) || undefined;
}

/** An error for the worker, without its causes, which are in the log on this side. */
export function toWire(error: Error): SerializedError {
  return { ...toCheckpointEngineError(error).toJSON(), cause: undefined };
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** A number from a worker as text, or a description of the value that it sent instead. */
export const numberText = (value: unknown): string => (typeof value === 'number' ? String(value) : typeof value);
