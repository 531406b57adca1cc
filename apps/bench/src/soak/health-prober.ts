import { setTimeout as sleep } from 'node:timers/promises';
import type { Server } from '../served/server.ts';

/** Asks a server again and again whether it lives, and keeps how long that took while updates ran. */
export class HealthProber {
  readonly duringUpdatesMs: number[] = [];
  readonly #server: Server;
  #isUpdating = false;
  #isStopped = false;
  readonly #ended: Promise<void>;

  constructor(server: Server, everyMs: number) {
    this.#server = server;
    this.#ended = this.#run(everyMs);
  }

  /** Runs an update: what is asked meanwhile counts. */
  async during<T>(update: () => Promise<T>): Promise<T> {
    this.#isUpdating = true;
    try {
      return await update();
    } finally {
      this.#isUpdating = false;
    }
  }

  /** @throws What the server answered instead of 200. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ended;
  }

  async #run(everyMs: number): Promise<void> {
    while (!this.#isStopped) {
      const counts = this.#isUpdating;
      const startedAt = performance.now();
      await this.#server.ask('GET', '/v1/healthz');
      if (counts) this.duringUpdatesMs.push(performance.now() - startedAt);
      await sleep(everyMs);
    }
  }
}
