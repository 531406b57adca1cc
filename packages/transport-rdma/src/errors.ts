import { CheckpointEngineError, type ErrorDetails } from '@checkpoint-engine/interface';

/** Nobody answers at the owner's address. */
export function unreachable(peer: string, cause?: Error, details: ErrorDetails = {}): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_PEER_UNREACHABLE',
    `${peer} cannot be reached${cause === undefined ? '' : `: ${cause.message}`}`,
    'Check that its process runs, that it was opened with a host that is reachable from here, and that no firewall stands between',
    { op: 'read', peer, retryable: true, cause, ...details },
  );
}

/** The owner went away under a read. */
export function lost(peer: string, details: ErrorDetails = {}): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_PEER_LOST',
    `${peer} went away while it was read from`,
    'Read from another owner, or restart that process and gather the metas again',
    { op: 'read', peer, ...details },
  );
}

/** The owner does not answer a request. */
export function silent(peer: string, timeoutMs: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TIMEOUT',
    `${peer} did not answer a request for its ranges within ${timeoutMs} ms`,
    'Check that its process runs and is not stopped, or raise the time-out',
    { op: 'read', peer, retryable: true },
  );
}

/** The range is not, or no longer, what the metas say. */
export function notRegistered(peer: string, why: string, details: ErrorDetails = {}): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_RANGE_NOT_REGISTERED',
    `A range is not registered at ${peer}: ${why}`,
    'Gather the metas again: its owner has unregistered the checkpoint, or was restarted',
    { op: 'read', peer, ...details },
  );
}

/** This end was closed. */
export function closed(what: string): CheckpointEngineError {
  return new CheckpointEngineError('CE_CLOSED', `This rdma ${what} is closed`, 'Open a new one');
}
