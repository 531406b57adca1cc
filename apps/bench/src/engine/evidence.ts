import process from 'node:process';
import type { VllmEngine } from './vllm-engine.ts';

/** The name for an engine's weights before any checkpoint. */
const UNKNOWN = 'before any update';

/** The state of an engine: the digests of all its parameters, and its answers. */
interface State {
  readonly digests: string;
  readonly tokens: string;
}

/**
 * Checks whether an engine has the expected weights. The state after the first update with a checkpoint is the expected
 * state after all later ones, by any tool, and it must differ from the state before.
 */
export class Evidence {
  readonly #engine: VllmEngine;
  readonly #seen = new Map<string, State>();

  private constructor(engine: VllmEngine) {
    this.#engine = engine;
  }

  /** Records the engine's state before any update. @param loaded The checkpoint that it was started with, if any */
  static async of(engine: VllmEngine, loaded: string | undefined): Promise<Evidence> {
    const evidence = new Evidence(engine);
    evidence.#seen.set(loaded ?? UNKNOWN, await evidence.#read());
    return evidence;
  }

  /** Returns 1 if the engine does not have the expected state after an update with this checkpoint, otherwise 0. */
  async compare(checkpoint: string): Promise<number> {
    const now = await this.#read();
    const before = this.#seen.get(checkpoint);
    if (before !== undefined) {
      const isSame = before.digests === now.digests && before.tokens === now.tokens;
      if (!isSame) process.stderr.write(`WRONG after ${checkpoint}: ${JSON.stringify({ before, now })}\n`);
      return isSame ? 0 : 1;
    }
    const same = [...this.#seen].find(([, { digests }]) => digests === now.digests);
    this.#seen.set(checkpoint, now);
    if (same?.[0] === UNKNOWN) {
      // An earlier measurement may have loaded this checkpoint. An update that changes nothing fails at the next one.
      this.#seen.delete(UNKNOWN);
      process.stderr.write(`${checkpoint} was there before\n`);
      return 0;
    }
    process.stderr.write(`${checkpoint}: ${now.digests} ${now.tokens}\n`);
    if (same !== undefined) process.stderr.write(`WRONG: ${checkpoint} changed nothing: ${same[0]}\n`);
    return same === undefined ? 0 : 1;
  }

  async #read(): Promise<State> {
    const digests = JSON.stringify(await this.#engine.digests());
    return { digests, tokens: JSON.stringify(await this.#engine.tokens()) };
  }
}
