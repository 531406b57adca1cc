import { setImmediate } from 'node:timers';

/** The pace of a wait that polls. */
export interface BackoffOptions {
  /** For this time it polls on every turn of the event loop. */
  readonly spinMs: number;
  /** The longest pause between two polls. */
  readonly maxPauseMs: number;
}

/**
 * Pauses between polls: none at first, so that a quick answer is seen at once, then longer ones that use little CPU.
 */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #startedAt: number = performance.now();
  #pauseMs = 1;

  /** Starts the wait. */
  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Waits before the next poll. */
  async pause(): Promise<void> {
    const { spinMs, maxPauseMs } = this.#options;
    const waitedMs = performance.now() - this.#startedAt;
    if (waitedMs < spinMs) return new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, this.#pauseMs));
    // A long wait is not urgent: its pauses grow to a twentieth of the time waited so far.
    this.#pauseMs = Math.max(1, Math.min(maxPauseMs, waitedMs / 20));
  }
}
