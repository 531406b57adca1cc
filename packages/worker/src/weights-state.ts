import type { IncomingUpdate } from './incoming-update.ts';

/** What an engine's devices hold. Plain data. */
export interface HeldWeights {
  /**
   * `initial`: the engine's own weights. `updating`. `loaded`: a whole checkpoint. `unknown`: an update ended in its
   * middle, so some weights may be new and others old.
   */
  readonly weights: 'initial' | 'updating' | 'loaded' | 'unknown';
  /** Of what is loaded. */
  readonly checkpoint?: string;
  readonly updateId?: string;
}

/** Follows the updates of an engine, one at a time, to know what its devices hold. */
export class WeightsState {
  #held: HeldWeights = { weights: 'initial' };
  #before: HeldWeights = this.#held;
  #update: IncomingUpdate | undefined;

  get held(): HeldWeights {
    return this.#held;
  }

  /** A request for an update has come. */
  begin(): void {
    this.#before = this.#held;
    this.#update = undefined;
    this.#held = { weights: 'updating' };
  }

  /** A device begins to receive: from here on a failure leaves the weights unknown. */
  receive(update: IncomingUpdate): void {
    if (update.intent === 'update') this.#update = update;
  }

  /** The update is over. */
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
