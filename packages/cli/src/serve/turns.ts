import { abortError, CheckpointEngineError } from '@checkpoint-engine/interface';

/** Default time that work waits for its turn. */
export const TURN_MS = 300_000;

/** Options of {@link Turns.take}. */
export interface TurnOptions {
  /** Aborts the wait. */
  readonly signal?: AbortSignal | undefined;
  /** @default 300_000 */
  readonly waitMs?: number | undefined;
}

/** Runs one piece of work at a time. Others wait in order, for a bounded time. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /**
   * @throws The signal's reason, if it fires before the turn comes; `CE_CHECKPOINT_BUSY` if the turn does not come in
   * time.
   */
  async take<T>(work: () => Promise<T>, { signal, waitMs = TURN_MS }: TurnOptions = {}): Promise<T> {
    const before = this.#last;
    let release!: () => void;
    const done = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#last = before.then(() => done);
    try {
      await this.#wait(before, signal, waitMs);
      if (signal?.aborted) throw abortError(signal, 'Waiting for other work of the ranks');
      return await work();
    } finally {
      release();
    }
  }

  async #wait(turn: Promise<unknown>, signal: AbortSignal | undefined, waitMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let onAbort!: () => void;
    const given = new Promise<never>((_, reject) => {
      onAbort = () => reject(abortError(signal!, 'Waiting for other work of the ranks'));
      timer = setTimeout(() => reject(busy(waitMs)), waitMs);
    });
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    try {
      await Promise.race([turn, given]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }
}

function busy(waitMs: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CHECKPOINT_BUSY',
    `The ranks were busy with other work for ${waitMs} ms`,
    'Try again later; GET /v1/updates shows the running update, and DELETE /v1/updates/{id} cancels it',
    { retryable: true },
  );
}
