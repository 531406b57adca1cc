import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** Time to wait for the store to report a lost peer: a little more than the store needs to detect a silent rank. */
const PEER_NEWS_MS = 8_000;

/**
 * NCCL's results after the other end of a connection is gone: system, internal and remote error.
 *
 * @source https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/api/types.html#ncclresult-t
 */
const PEER_STATUSES: readonly unknown[] = [2, 3, 6];

/** Whether the failure may be caused by the death of a peer, which the store identifies a little later. */
export function isPeersFault(error: unknown): boolean {
  return (
    CheckpointEngineError.isInstance(error) &&
    error.code === 'CE_TRANSPORT_FAILED' &&
    PEER_STATUSES.includes(error.status)
  );
}

/** Resolves when the store's signal fires, or when the store would have reported a loss by now. */
export function untilFired(signal: AbortSignal, timeoutMs: number = PEER_NEWS_MS): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, timeoutMs);
    signal.addEventListener('abort', end);
  });
}
