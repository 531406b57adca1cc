import type { RankView } from '@checkpoint-engine/http';
import { abortError, type CheckpointEngineError, RankLostError } from '@checkpoint-engine/interface';

/** How long calls wait for ranks that are being restarted, unless they say otherwise. */
export const READY_MS = 60_000;

/** Lets calls wait until all ranks of a world can work. */
export class Readiness {
  readonly #ranks: readonly RankView[];
  readonly #waiters = new Set<() => void>();

  constructor(ranks: readonly RankView[]) {
    this.#ranks = ranks;
  }

  /** Looks again: the state of a rank has changed. */
  noteChange(): void {
    for (const look of [...this.#waiters]) look();
  }

  /** @throws `CE_RANK_LOST` naming a rank that does not come back in time, `CE_ABORTED` */
  untilReady(signal?: AbortSignal, timeoutMs: number = READY_MS): Promise<void> {
    if (!this.#missing()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const finish = (error?: CheckpointEngineError): void => {
        clearTimeout(timer);
        this.#waiters.delete(look);
        signal?.removeEventListener('abort', onAbort);
        if (error) reject(error);
        else resolve();
      };
      const look = (): void => {
        if (!this.#missing()) finish();
      };
      const onAbort = (): void => finish(abortError(signal!, 'Waiting for all ranks'));
      const timer = setTimeout(() => finish(notBack(this.#missing()!, timeoutMs)), timeoutMs);
      this.#waiters.add(look);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
    });
  }

  #missing(): RankView | undefined {
    return this.#ranks.find(({ state }) => state !== 'ready');
  }
}

function notBack({ rank, state, lastError }: RankView, timeoutMs: number): CheckpointEngineError {
  const why = state === 'unresponsive' ? ': its process does not answer' : lastError ? `: ${lastError.message}` : '';
  return new RankLostError(rank, `Rank ${rank} did not come back within ${timeoutMs} ms${why}`);
}
