import { CheckpointEngineError, LONGEST_TIMER_MS } from '@checkpoint-engine/interface';

/** Ends work that takes too long: a signal fires with `CE_TIMEOUT` after a time, unless the limit is stopped before. */
export class TimeLimit {
  readonly signal: AbortSignal;
  readonly #timer: NodeJS.Timeout;

  /** @param what The subject of the error message: `Reading the checkpoint`. */
  constructor(what: string, timeoutMs: number, hint: string) {
    const controller = new AbortController();
    this.signal = controller.signal;
    const expire = (): void =>
      controller.abort(
        new CheckpointEngineError('CE_TIMEOUT', `${what} did not end within ${timeoutMs} ms`, hint, {
          retryable: true,
        }),
      );
    this.#timer = setTimeout(expire, Math.min(timeoutMs, LONGEST_TIMER_MS));
  }

  /** Idempotent. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}

/** Runs work under a time limit and a signal. Settles when the work settles, so the work must react to its signal. */
export async function withTimeLimit<T>(
  limit: { readonly what: string; readonly timeoutMs: number; readonly hint: string },
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeLimit = new TimeLimit(limit.what, limit.timeoutMs, limit.hint);
  try {
    return await work(signal ? AbortSignal.any([signal, timeLimit.signal]) : timeLimit.signal);
  } finally {
    timeLimit.stop();
  }
}
