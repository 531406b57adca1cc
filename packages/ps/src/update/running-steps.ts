import { abortError } from '@checkpoint-engine/interface';

/** The steps of an update that run at the same time. The first failure of any of them ends all waits. */
export class RunningSteps {
  readonly #signal: AbortSignal;
  readonly #onFailure: (error: unknown) => void;
  readonly #running = new Set<Promise<void>>();
  readonly #stopped: Promise<never>;
  #stop!: (error: unknown) => void;
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param signal    Fails the steps when it fires.
   * @param onFailure Called with the first failure, at once.
   */
  constructor(signal: AbortSignal, onFailure: (error: unknown) => void) {
    this.#signal = signal;
    this.#onFailure = onFailure;
    this.#stopped = new Promise<never>((_, reject) => {
      this.#stop = reject;
    });
    this.#stopped.catch(() => {});
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Waits for a step. Rejects with the first failure of any step. */
  readonly wait = (step: Promise<void>): Promise<void> => Promise.race([step, this.#stopped]);

  /** Starts a step: {@link RunningSteps.finish} waits until it has settled. */
  track(step: Promise<void>): Promise<void> {
    step.catch(this.#fail);
    const settled = step.catch(() => {}).finally(() => this.#running.delete(settled));
    this.#running.add(settled);
    return step;
  }

  /**
   * Resolves when these loops have ended, and all steps that they started.
   *
   * @throws The first failure, once no step runs any more.
   */
  async finish(loops: readonly Promise<void>[]): Promise<void> {
    for (const loop of loops) loop.catch(this.#fail);
    await Promise.allSettled(loops);
    await Promise.allSettled(this.#running);
    this.#signal.removeEventListener('abort', this.#onAbort);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  readonly #fail = (error: unknown): void => {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    this.#onFailure(error);
    this.#stop(error);
  };

  readonly #onAbort = (): void => this.#fail(abortError(this.#signal, 'update'));
}
