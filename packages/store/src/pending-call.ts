import { abortError, CheckpointEngineError, LONGEST_TIMER_MS, type WaitOptions } from '@checkpoint-engine/interface';
import type { CallOp } from './protocol.ts';

/** Time limit for the server to report the missing ranks after a call has timed out. */
const GRACE_MS = 1_000;

/** The result of a call. */
export interface CallResult {
  readonly value?: number | undefined;
  readonly found?: boolean | undefined;
  readonly values: readonly Uint8Array[];
}

/** Options of a {@link PendingCall}. */
export interface PendingCallOptions extends WaitOptions {
  readonly op: CallOp;
  /** The subject of an error: `Barrier "x" of epoch "u1"`. */
  readonly subject: string;
  readonly timeoutMs: number;
  /** Withdraws the call at the server. */
  readonly cancel: () => void;
  /** Called once, however the call ends. */
  readonly settled: () => void;
}

/** A call that waits for its answer. It ends once, by the answer, its time-out, its signal or the scope's failure. */
export class PendingCall {
  readonly promise: Promise<CallResult>;
  readonly #options: PendingCallOptions;
  readonly #onAbort = (): void => this.#abort();
  #timer: NodeJS.Timeout | undefined;
  #resolve: (result: CallResult) => void = () => {};
  #reject: (error: unknown) => void = () => {};

  constructor(options: PendingCallOptions) {
    this.#options = options;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    options.signal?.addEventListener('abort', this.#onAbort);
    if (options.timeoutMs <= LONGEST_TIMER_MS) this.#timer = setTimeout(() => this.#outOfTime(), options.timeoutMs);
  }

  resolve(result: CallResult): void {
    this.#settle();
    this.#resolve(result);
  }

  reject(error: unknown): void {
    this.#settle();
    this.#reject(error);
  }

  /** The server has withdrawn the call and names the missing ranks. */
  cancelled(missing: readonly number[], absent: readonly number[]): void {
    this.reject(this.#timeout(missing, absent));
  }

  #outOfTime(): void {
    this.#options.cancel();
    this.#timer = setTimeout(() => this.reject(this.#timeout()), GRACE_MS);
  }

  #abort(): void {
    this.#options.cancel();
    this.reject(abortError(this.#options.signal!, this.#options.subject));
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#options.settled();
  }

  #timeout(missing?: readonly number[], absent: readonly number[] = []): CheckpointEngineError {
    const { op, subject, timeoutMs } = this.#options;
    const details = { op, retryable: true, peer: missing?.length === 1 ? missing[0] : undefined };
    const notHere = absent.length === 0 ? '' : ` (not in the world: ${rankList(absent)})`;
    if (missing === undefined) {
      const what = `${subject}: the store did not answer within ${timeoutMs} ms`;
      return new CheckpointEngineError('CE_TIMEOUT', what, 'Check the log of rank 0, or raise the time-out', details);
    }
    if (missing.length === 0) {
      const what = `${subject} was not set within ${timeoutMs} ms${notHere}`;
      const hint = 'Check the log of the rank that sets it, or raise the time-out';
      return new CheckpointEngineError('CE_TIMEOUT', what, hint, details);
    }
    const what = `${subject} was not reached by ${rankList(missing)} within ${timeoutMs} ms${notHere}`;
    return new CheckpointEngineError(
      'CE_TIMEOUT',
      what,
      'Check the logs of these ranks, or raise the time-out',
      details,
    );
  }
}

function rankList(ranks: readonly number[]): string {
  const named = ranks.slice(0, 16).join(', ');
  const more = ranks.length > 16 ? ` and ${ranks.length - 16} more` : '';
  return `${ranks.length === 1 ? 'rank' : 'ranks'} ${named}${more}`;
}
