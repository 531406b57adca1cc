import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** How long to wait for the store to name a lost peer: a little more than it takes to notice a silent one. */
const PEER_NEWS_MS = 8_000;

/**
 * What NCCL answers when the other end of a connection goes: system, internal and remote error.
 *
 * @source https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/api/types.html#ncclresult-t
 */
const PEER_STATUSES: readonly unknown[] = [2, 3, 6];

/** Whether the failure may be the death of a peer, which the store knows by name a little later. */
export function isPeersFault(error: unknown): boolean {
  return (
    CheckpointEngineError.isInstance(error) &&
    error.code === 'CE_TRANSPORT_FAILED' &&
    PEER_STATUSES.includes(error.status)
  );
}

/** Resolves when the store's signal fires, at the latest when there is no more news to expect. */
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
