import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Store } from '@checkpoint-engine/interface';

/** Time that ranks wait for those that are not ready to leave. */
const MEET_MS = 2_000;
/** Time that rank 0 waits for the first of the others to leave, and then for the rest. */
const LAST_MS = { first: 1_000, rest: 200 } as const;

/**
 * Lets the ranks of a healthy world leave together: all wait until all are ready, and rank 0, which serves the store,
 * waits until the others have left. This way, no rank takes a finished rank for a lost one. Never rejects.
 */
export async function leaveTogether(store: Store): Promise<void> {
  if (store.worldSize === 1 || store.signal.aborted) return;
  try {
    await store.barrier('leave', { timeoutMs: MEET_MS });
    if (store.rank > 0) return;
    if (!store.signal.aborted) await once(store.signal, 'abort', { signal: AbortSignal.timeout(LAST_MS.first) });
    await sleep(LAST_MS.rest);
  } catch {
    // Another rank left first.
  }
}
