import { abortError, CheckpointEngineError, LONGEST_TIMER_MS } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';

/** Limits of an operation. */
export interface Limits {
  /** Describes the operation in the error: `Joining the group`. */
  readonly what: string;
  readonly timeoutMs: number;
  readonly signals: readonly (AbortSignal | undefined)[];
}

/**
 * Runs work until its time-out or until a signal fires, even if the work hangs. The work receives a signal that fires
 * at that time, so that it can clean up.
 *
 * @throws `CE_TIMEOUT`, `CE_ABORTED`, or the signal's reason if that is a CheckpointEngineError.
 */
export async function withDeadline<T>(limits: Limits, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { what, timeoutMs } = limits;
  const signals = limits.signals.filter((signal) => signal !== undefined);
  const deadline = new AbortController();
  const giveUp = () => {
    const fired = signals.find((signal) => signal.aborted);
    if (fired) deadline.abort(abortError(fired, what));
  };
  const timer = setTimeout(() => deadline.abort(timeoutError(what, timeoutMs)), Math.min(timeoutMs, LONGEST_TIMER_MS));
  for (const signal of signals) signal.addEventListener('abort', giveUp);
  giveUp();
  try {
    deadline.signal.throwIfAborted();
    return await untilAborted(work(deadline.signal), deadline.signal);
  } finally {
    clearTimeout(timer);
    for (const signal of signals) signal.removeEventListener('abort', giveUp);
  }
}

function timeoutError(what: string, timeoutMs: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TIMEOUT',
    `${what} took longer than ${timeoutMs} ms`,
    'Check that the other side runs, or raise timeoutMs',
  );
}
