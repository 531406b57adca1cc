import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 2;

/** Limits of {@link untilTransferred}. */
export interface TransferLimits {
  /** Time without progress after which the transfer fails. */
  readonly timeoutMs: number;
  /** The reason of that failure. */
  readonly late: string;
}

/**
 * Moves bytes through a non-blocking descriptor, and waits while it is not ready. Works for FIFOs on Node.js and Deno.
 *
 * @param attempt Moves some bytes, and returns their number; 0 if it cannot move any yet. `undefined` ends the transfer.
 * @throws No byte was moved for too long.
 */
export async function untilTransferred(
  attempt: () => number | undefined,
  { timeoutMs, late }: TransferLimits,
): Promise<void> {
  let movedAtMs = performance.now();
  for (;;) {
    const moved = unlessBusy(attempt);
    if (moved === undefined) return;
    if (moved > 0) movedAtMs = performance.now();
    else if (performance.now() - movedAtMs > timeoutMs) throw new Error(late);
    await sleep(moved > 0 ? 0 : POLL_MS);
  }
}

function unlessBusy(attempt: () => number | undefined): number | undefined {
  try {
    return attempt();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
    throw error;
  }
}
