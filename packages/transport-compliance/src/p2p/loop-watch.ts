const periodMs = 5;

/** Measures how long the event loop of this process is kept from running a timer. */
export class LoopWatch {
  readonly #timer: ReturnType<typeof setInterval>;
  #last = performance.now();
  #longestMs = 0;

  constructor() {
    this.#timer = setInterval(() => this.#tick(), periodMs);
  }

  /** Ends the measurement and gives the longest delay in milliseconds. */
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
