import type { IncomingUpdate } from './incoming-update.ts';

/** The state of the weights on an engine's devices. Plain data. */
export interface HeldWeights {
  /**
   * `initial`: the engine's own weights. `updating`. `loaded`: a whole checkpoint. `unknown`: an update failed in its
   * middle, so some weights may be new and others old.
   */
  readonly weights: 'initial' | 'updating' | 'loaded' | 'unknown';
  /** The loaded checkpoint. */
  readonly checkpoint?: string;
  readonly updateId?: string;
}

/** Tracks the updates of an engine, one at a time, and the state of its devices' weights. */
export class WeightsState {
  #held: HeldWeights = { weights: 'initial' };
  #before: HeldWeights = this.#held;
  #update: IncomingUpdate | undefined;

  get held(): HeldWeights {
    return this.#held;
  }

  /** Records that a request for an update has arrived. */
  begin(): void {
    this.#before = this.#held;
    this.#update = undefined;
    this.#held = { weights: 'updating' };
  }

  /** Records that a device begins to receive: after this, a failure makes the weights unknown. */
  receive(update: IncomingUpdate): void {
    if (update.intent === 'update') this.#update = update;
  }

  /** Records the end of the update. */
  end(hasSucceeded: boolean): void {
    if (this.#update === undefined) {
      this.#held = this.#before;
    } else if (hasSucceeded) {
      const { checkpoint, updateId } = this.#update;
      this.#held = { weights: 'loaded', checkpoint, updateId };
    } else {
      this.#held = { weights: 'unknown' };
    }
  }
}
