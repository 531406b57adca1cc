const periodMs = 5;

/** Measures the longest time for which the event loop of this process is blocked. */
export class LoopWatch {
  readonly #timer: ReturnType<typeof setInterval>;
  #last = performance.now();
  #longestMs = 0;

  constructor() {
    this.#timer = setInterval(() => this.#tick(), periodMs);
  }

  /** Ends the measurement and returns the longest delay in milliseconds. */
  stop(): number {
    clearInterval(this.#timer);
    this.#tick();
    return this.#longestMs;
  }

  #tick(): void {
    const now = performance.now();
    this.#longestMs = Math.max(this.#longestMs, now - this.#last - periodMs);
    this.#last = now;
  }
}
