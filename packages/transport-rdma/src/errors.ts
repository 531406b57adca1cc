import { CheckpointEngineError, type ErrorDetails } from '@checkpoint-engine/interface';

/** Creates the error for an owner that does not answer. */
export function unreachable(peer: string, cause?: Error, details: ErrorDetails = {}): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_PEER_UNREACHABLE',
    `${peer} cannot be reached${cause === undefined ? '' : `: ${cause.message}`}`,
    'Check that its process runs, that its host option is reachable from here, and that no firewall blocks the connection',
    { op: 'read', peer, retryable: true, cause, ...details },
  );
}

/** Creates the error for an owner that is lost during a read. */
export function lost(peer: string, details: ErrorDetails = {}): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_PEER_LOST',
    `${peer} was lost during a read`,
    'Read from another owner, or restart that process and gather the metas again',
    { op: 'read', peer, ...details },
  );
}

/** Creates the error for an owner that does not answer a request. */
export function silent(peer: string, timeoutMs: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TIMEOUT',
    `${peer} did not answer a request for its ranges within ${timeoutMs} ms`,
    'Check that its process runs and is not stopped, or raise the time-out',
    { op: 'read', peer, retryable: true },
  );
}

/** Creates the error for a range that does not match the metas, or no longer matches them. */
export function notRegistered(peer: string, why: string, details: ErrorDetails = {}): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_RANGE_NOT_REGISTERED',
    `A range is not registered at ${peer}: ${why}`,
    'Gather the metas again: its owner has unregistered the checkpoint, or was restarted',
    { op: 'read', peer, ...details },
  );
}

/** Creates the error for a call after `close`. */
export function closed(what: string): CheckpointEngineError {
  return new CheckpointEngineError('CE_CLOSED', `This rdma ${what} is closed`, 'Open a new one');
}
