import { threadTime } from './thread-time.ts';

const EVERY_MS = 5;

/** The longest pause of an event loop, and its work in the pause. */
export interface LoopPauses {
  /** Longest time between two turns of a timer, less the timer's own. */
  readonly longestMs: number;
  /** Longest time on a core between two turns: no synchronous work took longer. */
  readonly busyMs: number;
  /** Longest time between two turns in which the thread could have run and had no core. */
  readonly waitedMs: number;
}

/**
 * Watches the event loop of this process with a timer. If more threads are runnable than there are cores, even an idle
 * thread can be late, so the work of the thread in each pause is counted separately.
 */
export class LoopWatch {
  #timer: NodeJS.Timeout | undefined;
  #pauses = { longestMs: 0, busyMs: 0, waitedMs: 0 };

  /** Starts or resumes watching. */
  start(): void {
    if (this.#timer !== undefined) return;
    let last = { atMs: performance.now(), ...threadTime() };
    this.#timer = setInterval(() => {
      const now = { atMs: performance.now(), ...threadTime() };
      const { longestMs, busyMs, waitedMs } = this.#pauses;
      this.#pauses = {
        longestMs: Math.max(longestMs, now.atMs - last.atMs - EVERY_MS),
        busyMs: Math.max(busyMs, now.busyMs - last.busyMs),
        waitedMs: Math.max(waitedMs, now.waitedMs - last.waitedMs),
      };
      last = now;
    }, EVERY_MS);
  }

  /** Stops, and returns the figures since its creation or the last call. */
  take(): LoopPauses {
    this.stop();
    const pauses = this.#pauses;
    this.#pauses = { longestMs: 0, busyMs: 0, waitedMs: 0 };
    return pauses;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
