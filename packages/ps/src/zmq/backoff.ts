import { setImmediate } from 'node:timers';

/** How eagerly a wait without wake-ups looks again. */
export interface BackoffOptions {
  /** For this long it looks on every turn of the event loop. */
  readonly spinMs: number;
  /** The longest pause between two looks. */
  readonly maxPauseMs: number;
}

/** Pauses between looks: none at first, so that a quick answer is met at once, then longer ones that cost no core. */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #startedAt: number = performance.now();
  #pauseMs = 1;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  async pause(): Promise<void> {
    const { spinMs, maxPauseMs } = this.#options;
    const waitedMs = performance.now() - this.#startedAt;
    if (waitedMs < spinMs) return new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, this.#pauseMs));
    // A wait that lasts long is not in a hurry: pauses grow with it, to a twentieth of what has been waited.
    this.#pauseMs = Math.max(1, Math.min(maxPauseMs, waitedMs / 20));
  }
}
