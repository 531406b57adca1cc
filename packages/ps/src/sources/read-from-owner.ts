import { CheckpointEngineError, type P2PEndpoint, type P2PRead } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';

/** Minimum read rate, for time-outs in addition to {@link READ_GRACE_MS}. */
const SLOWEST_BYTES_A_MS = 20_000;
const READ_GRACE_MS = 30_000;
/** A connection can break while its owner is running. */
const TRIES = 2;

/**
 * Reads ranges of one owner's memory. Tries once more if the connection breaks.
 *
 * @throws `CE_PEER_UNREACHABLE`, `CE_PEER_LOST`, `CE_RANGE_NOT_REGISTERED`, `CE_TIMEOUT` with the owner.
 */
export async function readFromOwner(
  owner: RankMetas,
  reads: readonly P2PRead[],
  { endpoint, signal }: { readonly endpoint: P2PEndpoint; readonly signal: AbortSignal },
): Promise<void> {
  const bytes = reads.reduce((sum, { local }) => sum + local.sizeBytes, 0);
  const timeoutMs = Math.ceil(READ_GRACE_MS + bytes / SLOWEST_BYTES_A_MS);
  for (let left = TRIES; ; ) {
    try {
      return await endpoint.read(owner.p2pAddress!, reads, { signal, timeoutMs });
    } catch (error) {
      const isBroken = CheckpointEngineError.isInstance(error) && error.code === 'CE_PEER_LOST';
      if (signal.aborted || !isBroken || --left === 0) throw ofOwner(error, owner.rank, owner.host);
    }
  }
}

const OWNERS_FAULTS: ReadonlySet<string> = new Set([
  'CE_PEER_UNREACHABLE',
  'CE_PEER_LOST',
  'CE_RANGE_NOT_REGISTERED',
  'CE_TIMEOUT',
]);

/** Whether a read failed because of its owner, and not because of this side. */
export function isOwnersFault(error: unknown): error is CheckpointEngineError {
  return CheckpointEngineError.isInstance(error) && OWNERS_FAULTS.has(error.code);
}

/** Identifies the owner by its rank: its address may contain a secret. */
function ofOwner(error: unknown, rank: number, host: string): unknown {
  if (!isOwnersFault(error)) return error;
  return new CheckpointEngineError(error.code, `Owner rank ${rank} of host "${host}": ${error.message}`, error.hint, {
    op: 'read',
    peer: rank,
    detail: error.detail,
    retryable: error.retryable,
  });
}
