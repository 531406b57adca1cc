import { setTimeout as sleep } from 'node:timers/promises';
import type { ServedWorld } from './served-world.ts';

/** Probes the liveness of a server repeatedly, and records the latency during updates. */
export class HealthProber {
  readonly duringUpdatesMs: number[] = [];
  readonly #world: ServedWorld;
  #isUpdating = false;
  #isStopped = false;
  readonly #ended: Promise<void>;

  constructor(world: ServedWorld, everyMs: number) {
    this.#world = world;
    this.#ended = this.#run(everyMs);
    this.#ended.catch(() => {});
  }

  /** Runs an update: probes during it count. */
  async during<T>(update: () => Promise<T>): Promise<T> {
    this.#isUpdating = true;
    try {
      return await update();
    } finally {
      this.#isUpdating = false;
    }
  }

  /** @throws {Error} The server gave an answer other than 200. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ended;
  }

  async #run(everyMs: number): Promise<void> {
    while (!this.#isStopped) {
      const counts = this.#isUpdating;
      const startedAt = performance.now();
      await this.#world.ask('GET', '/v1/healthz');
      if (counts) this.duringUpdatesMs.push(performance.now() - startedAt);
      await sleep(everyMs);
    }
  }
}
