import type { RankView } from '@checkpoint-engine/http';
import {
  abortError,
  CheckpointEngineError,
  RankLostError,
  toCheckpointEngineError,
} from '@checkpoint-engine/interface';

/** Default time that calls wait for restarting ranks. */
export const READY_MS = 60_000;

/** Lets calls wait until all ranks of a world are ready. */
export class Readiness {
  readonly #ranks: readonly RankView[];
  readonly #waiters = new Set<() => void>();

  constructor(ranks: readonly RankView[]) {
    this.#ranks = ranks;
  }

  /** Call it when the state of a rank has changed. */
  noteChange(): void {
    for (const check of [...this.#waiters]) check();
  }

  /** @throws `CE_RANK_LOST` with a rank that is not ready in time, `CE_ABORTED` */
  untilReady(signal?: AbortSignal, timeoutMs: number = READY_MS): Promise<void> {
    if (!this.#missing()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const finish = (error?: CheckpointEngineError): void => {
        clearTimeout(timer);
        this.#waiters.delete(check);
        signal?.removeEventListener('abort', onAbort);
        if (error) reject(error);
        else resolve();
      };
      const check = (): void => {
        if (!this.#missing()) finish();
      };
      const onAbort = (): void => finish(abortError(signal!, 'Waiting for all ranks'));
      const timer = setTimeout(() => finish(notBack(this.#missing()!, timeoutMs)), timeoutMs);
      this.#waiters.add(check);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
    });
  }

  /**
   * Waits within the time-out of an update.
   *
   * @throws `CE_TIMEOUT`, `CE_RANK_LOST`, `CE_ABORTED`
   */
  async untilReadyToUpdate(checkpoint: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    try {
      await this.untilReady(signal, Math.min(READY_MS, timeoutMs));
    } catch (thrown) {
      const error = toCheckpointEngineError(thrown);
      if (error.code !== 'CE_RANK_LOST' || timeoutMs >= READY_MS) throw error;
      throw new CheckpointEngineError(
        'CE_TIMEOUT',
        `The update of checkpoint "${checkpoint}" did not begin within ${timeoutMs} ms: ${error.message}`,
        'Run it again when GET /v1/readyz answers 200, or with a longer time-out',
        { rank: error.rank, peer: error.peer, retryable: true },
      );
    }
  }

  #missing(): RankView | undefined {
    return this.#ranks.find(({ state }) => state !== 'ready');
  }
}

function notBack({ rank, state, lastError }: RankView, timeoutMs: number): CheckpointEngineError {
  const why = state === 'unresponsive' ? ': its process does not answer' : lastError ? `: ${lastError.message}` : '';
  return new RankLostError(rank, `Rank ${rank} did not come back within ${timeoutMs} ms${why}`);
}
