import process from 'node:process';
import type { VllmEngine } from './vllm-engine.ts';

/** What an engine holds when no checkpoint is said to be loaded. */
const UNKNOWN = 'before any update';

/** What an engine holds: the digests of all its parameters, and what it says. */
interface State {
  readonly digests: string;
  readonly tokens: string;
}

/**
 * Tells whether an engine has the weights that it should have. What the first update with a checkpoint left is what all
 * later ones, whoever makes them, have to leave; and it has to differ from what was there before.
 */
export class Evidence {
  readonly #engine: VllmEngine;
  readonly #seen = new Map<string, State>();

  private constructor(engine: VllmEngine) {
    this.#engine = engine;
  }

  /** Takes down what the engine holds before any update. @param loaded The checkpoint that it was started with, if any */
  static async of(engine: VllmEngine, loaded: string | undefined): Promise<Evidence> {
    const evidence = new Evidence(engine);
    evidence.#seen.set(loaded ?? UNKNOWN, await evidence.#look());
    return evidence;
  }

  /** Gives 1 where the engine does not hold what it should after an update with this checkpoint, else 0. */
  async compare(checkpoint: string): Promise<number> {
    const now = await this.#look();
    const before = this.#seen.get(checkpoint);
    if (before !== undefined) {
      const isSame = before.digests === now.digests && before.tokens === now.tokens;
      if (!isSame) process.stderr.write(`WRONG after ${checkpoint}: ${JSON.stringify({ before, now })}\n`);
      return isSame ? 0 : 1;
    }
    const same = [...this.#seen].find(([, { digests }]) => digests === now.digests);
    this.#seen.set(checkpoint, now);
    if (same?.[0] === UNKNOWN) {
      // An earlier measurement may have left this checkpoint. An update that changes nothing fails with the next one.
      this.#seen.delete(UNKNOWN);
      process.stderr.write(`${checkpoint} was there before\n`);
      return 0;
    }
    process.stderr.write(`${checkpoint}: ${now.digests} ${now.tokens}\n`);
    if (same !== undefined) process.stderr.write(`WRONG: ${checkpoint} left what was there: ${same[0]}\n`);
    return same === undefined ? 0 : 1;
  }

  async #look(): Promise<State> {
    const digests = JSON.stringify(await this.#engine.digests());
    return { digests, tokens: JSON.stringify(await this.#engine.tokens()) };
  }
}
