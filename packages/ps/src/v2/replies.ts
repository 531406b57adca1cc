import { abortError, type CheckpointEngineError, LONGEST_TIMER_MS } from '@checkpoint-engine/interface';

/** Conditions that end a wait of {@link Replies} without a reply. */
export interface ReplyOptions {
  /** Describes the wait in the error of an aborted signal. */
  readonly op: string;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly timedOut: () => CheckpointEngineError;
}

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

/** Waits for replies by name. However a wait ends, it leaves no timer and no listener behind. */
export class Replies<T> {
  readonly #waiters = new Map<string, Waiter<T>>();
  #failure: Error | undefined;

  /** Waits for one reply. Rejects at once when {@link Replies.fail} was called. */
  wait(name: string, options: ReplyOptions): Promise<T> {
    const { signal } = options;
    if (this.#failure) return Promise.reject(this.#failure);
    if (signal.aborted) return Promise.reject(abortError(signal, options.op));
    return new Promise<T>((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        this.#waiters.delete(name);
        act();
      };
      const onAbort = (): void => settle(() => reject(abortError(signal, options.op)));
      const timer = setTimeout(
        () => settle(() => reject(options.timedOut())),
        Math.min(options.timeoutMs, LONGEST_TIMER_MS),
      );
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.set(name, {
        resolve: (value) => settle(() => resolve(value)),
        reject: (error) => settle(() => reject(error)),
      });
    });
  }

  /** Ends the wait with this name. Returns whether there was one. */
  resolve(name: string, value: T): boolean {
    const waiter = this.#waiters.get(name);
    waiter?.resolve(value);
    return waiter !== undefined;
  }

  /** Rejects all current and later waits. The first error stays. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const waiter of [...this.#waiters.values()]) waiter.reject(this.#failure);
  }
}
