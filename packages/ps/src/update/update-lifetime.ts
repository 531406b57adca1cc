import { setMaxListeners } from 'node:events';
import { atRank, CheckpointEngineError, LONGEST_TIMER_MS, type Store } from '@checkpoint-engine/interface';
import type { Cleanup } from '@checkpoint-engine/interface/shared';
import { followSignals, isRepeatedFailure } from '@checkpoint-engine/interface/shared';

/** Time for which a failure that only repeats the failure of another rank waits for the report of that rank. */
const REPORT_MS = 2_000;

/** The bounds of an {@link UpdateLifetime}. */
export interface UpdateBoundaries {
  readonly checkpoint: string;
  readonly rank: number;
  readonly timeoutMs: number;
  /** Each of them ends the update when it fires. */
  readonly signals: readonly (AbortSignal | undefined)[];
  /** Removes the listeners. */
  readonly cleanup: Cleanup;
}

/** The lifetime of one update at this rank: until it is done, or until the first failure of any rank. */
export class UpdateLifetime {
  readonly timeoutMs: number;
  readonly #rank: number;
  readonly #cleanup: Cleanup;
  readonly #controller = new AbortController();
  #hasRepeated = false;
  readonly #failureListeners: ((failure: CheckpointEngineError) => unknown)[] = [];
  readonly #leave: (() => unknown)[] = [];

  constructor({ checkpoint, rank, timeoutMs, signals, cleanup }: UpdateBoundaries) {
    this.timeoutMs = timeoutMs;
    this.#rank = rank;
    this.#cleanup = cleanup;
    // Every read, broadcast and reload in progress listens.
    setMaxListeners(0, this.signal);
    const expire = (): void => this.#controller.abort(timedOut(checkpoint, timeoutMs, rank));
    const timer = setTimeout(expire, Math.min(timeoutMs, LONGEST_TIMER_MS));
    cleanup.defer(() => clearTimeout(timer));
    cleanup.defer(followSignals(this.#controller, signals));
  }

  /** Fires at the first failure, with it as the reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The failure; set once the signal has fired. */
  get failure(): CheckpointEngineError {
    return atRank(this.signal.reason, this.#rank);
  }

  /** Also ends when that scope fails. */
  follow(scope: Store): void {
    this.#cleanup.defer(followSignals(this.#controller, [scope.signal]));
  }

  /** Registers a function that notifies another party of a failure of the update: see {@link UpdateLifetime.end}. */
  onFailure(listener: (failure: CheckpointEngineError) => unknown): void {
    this.#failureListeners.push(listener);
  }

  /**
   * Registers a function that leaves a group after all parties were notified. To the others, leaving earlier would look like the failure.
   */
  afterFailure(leave: () => unknown): void {
    this.#leave.push(leave);
  }

  /** Fails the update with this error, unless it has failed already, notifies all parties, and returns the failure. */
  async end(error: unknown): Promise<CheckpointEngineError> {
    this.fail(error);
    if (!this.signal.aborted) {
      await new Promise((resolve) => this.signal.addEventListener('abort', resolve, { once: true }));
    }
    const { failure } = this;
    await Promise.allSettled(this.#failureListeners.map(async (listener) => listener(failure)));
    await Promise.allSettled(this.#leave.map(async (leave) => leave()));
    return failure;
  }

  /**
   * Fails the update on this rank. The first failure counts. A failure that only repeats the failure of another rank,
   * such as the answer of an engine whose workers were notified, waits for that rank's own report.
   */
  readonly fail = (error: unknown): void => {
    if (this.signal.aborted) return;
    const failure = atRank(error, this.#rank);
    if (!isRepeatedFailure(failure)) {
      this.#controller.abort(failure);
      return;
    }
    if (this.#hasRepeated) return;
    this.#hasRepeated = true;
    const timer = setTimeout(() => this.#controller.abort(failure), REPORT_MS);
    this.signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  };
}

function timedOut(checkpoint: string, timeoutMs: number, rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TIMEOUT',
    `The update of checkpoint "${checkpoint}" did not end within ${timeoutMs} ms`,
    'Check the logs of the engine and of the slowest rank; raise the time-out if it was only slow',
    { rank, op: 'update', retryable: true },
  );
}
