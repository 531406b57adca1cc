import { abortError, CheckpointEngineError } from '../errors.ts';
import { LONGEST_TIMER_MS } from '../longest-timer.ts';
import type { WaitOptions } from '../store.ts';

/** A time-out and a signal that end a wait. */
export class Deadline {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly #op: string;
  readonly #endsAt: number;

  /**
   * Starts the wait.
   *
   * @param op The subject of the error message: `The reply on ipc://x`.
   */
  constructor(op: string, { timeoutMs, signal }: WaitOptions, defaultTimeoutMs: number) {
    this.timeoutMs = timeoutMs ?? defaultTimeoutMs;
    if (!(this.timeoutMs >= 0)) throw new RangeError(`timeoutMs must be at least 0, not ${this.timeoutMs}`);
    this.signal = signal;
    this.#op = op;
    this.#endsAt = performance.now() + this.timeoutMs;
  }

  /** The time that is left, in milliseconds; 0 or less when the deadline has passed. */
  get leftMs(): number {
    return this.#endsAt - performance.now();
  }

  /** @throws `CE_TIMEOUT` or `CE_ABORTED` when the wait has ended. */
  check(): void {
    if (this.signal?.aborted) throw abortError(this.signal, this.#op);
    if (this.leftMs <= 0) throw this.timeout();
  }

  /** The error of this deadline: `CE_TIMEOUT`. */
  timeout(): CheckpointEngineError {
    return new CheckpointEngineError(
      'CE_TIMEOUT',
      `${this.#op} did not come within ${this.timeoutMs} ms`,
      'Check that the other side is running, or raise the time-out',
      { op: this.#op, retryable: true },
    );
  }

  /** Settles like `promise`, or rejects if this deadline passes first. `promise` itself continues. */
  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const { signal } = this;
      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        settle();
        reject(abortError(signal!, this.#op));
      };
      const onTimeout = (): void => {
        settle();
        reject(this.timeout());
      };
      const timer = this.leftMs > LONGEST_TIMER_MS ? undefined : setTimeout(onTimeout, Math.max(0, this.leftMs));
      promise.then(
        (value) => {
          settle();
          resolve(value);
        },
        (error: unknown) => {
          settle();
          reject(error);
        },
      );
      if (signal?.aborted) onAbort();
      else signal?.addEventListener('abort', onAbort);
    });
  }
}
