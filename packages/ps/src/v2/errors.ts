import {
  CheckpointEngineError,
  type ErrorCode,
  type SerializedError,
  toCheckpointEngineError,
  WORKER_PROTOCOL_VERSION,
} from '@checkpoint-engine/interface';

/** Whose session it is: named in every error. */
export interface SessionIdentity {
  readonly deviceUuid: string;
  readonly rank: number;
}

export function workerTimeout(who: SessionIdentity, whatFor: string, timeoutMs: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_WORKER_TIMEOUT',
    `The worker on device "${who.deviceUuid}" did not ${whatFor} within ${timeoutMs} ms`,
    whatFor === 'connect'
      ? 'Check that the engine was told this address, that a device with this UUID is its own, and that both processes share a network namespace'
      : "Look at the engine's log, or raise the time-out",
    { rank: who.rank, peer: who.deviceUuid },
  );
}

export function workerLost(who: SessionIdentity, cause?: Error): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_WORKER_LOST',
    `The worker on device "${who.deviceUuid}" closed its connection in the middle of the update`,
    "Look at the engine's log for why it died, restart it, and run the update again",
    { rank: who.rank, peer: who.deviceUuid, cause },
  );
}

export function workerBroke(who: SessionIdentity, what: string, spoken: unknown, cause?: Error): CheckpointEngineError {
  const version = typeof spoken === 'number' ? spoken : 'none that it named';
  return new CheckpointEngineError(
    'CE_WORKER_PROTOCOL',
    `The worker on device "${who.deviceUuid}" sent ${what}; this server speaks protocol ${WORKER_PROTOCOL_VERSION}, the worker ${version}`,
    'Install the same release of @checkpoint-engine/worker and @checkpoint-engine/ps on both sides',
    { rank: who.rank, peer: who.deviceUuid, cause },
  );
}

/** The error that a worker reported, from whatever it sent. */
export function workerFailed(who: SessionIdentity, reported: unknown): CheckpointEngineError {
  const fields: Record<string, unknown> = typeof reported === 'object' && reported !== null ? { ...reported } : {};
  const message = text(fields.message) ?? 'it did not say why';
  const detail = text(fields.detail);
  return new CheckpointEngineError(
    'CE_WORKER_FAILED',
    `The worker on device "${who.deviceUuid}" failed: ${message}`,
    adviceOf(fields) ?? "Look at the worker's stack in detail and at the engine's log",
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

/** The worker's own hint, unless its engine's code threw and the hint is about its stack. */
function adviceOf({ code, hint }: Record<string, unknown>): string | undefined {
  return code === 'CE_WORKER_FAILED' ? undefined : text(hint) || undefined;
}

/** An error as the worker is told it. The chain of causes stays here, where the log is. */
export function toWire(error: Error): SerializedError {
  return { ...toCheckpointEngineError(error).toJSON(), cause: undefined };
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** A number that a worker sent, as text; where it sent something else, what that is. */
export const numberText = (value: unknown): string => (typeof value === 'number' ? String(value) : typeof value);
