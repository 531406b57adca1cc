import { setImmediate } from 'node:timers';

/** Hands wire messages to a socket in order, in slices that leave the event loop to others. */
const SLICE_MS = 8;

export class Outbox {
  readonly #send: (frames: Uint8Array[]) => Promise<void>;
  #queue: Iterable<Uint8Array[]>[] = [];
  #running: Promise<void> | undefined;

  /** @param send Rejects only when the socket is closed; what is queued is dropped then. */
  constructor(send: (frames: Uint8Array[]) => Promise<void>) {
    this.#send = send;
  }

  push(messages: Iterable<Uint8Array[]>): void {
    this.#queue.push(messages);
    this.#running ??= this.#run();
  }

  /** Resolves when all is handed over. */
  async flush(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // From a turn of its own, so that push() never sends before it returns and `#running` is set.
    await Promise.resolve();
    try {
      let sliceEndsAt = performance.now() + SLICE_MS;
      while (this.#queue.length > 0) {
        const queue = this.#queue;
        this.#queue = [];
        for (const messages of queue) {
          for (const frames of messages) {
            await this.#send(frames);
            if (performance.now() < sliceEndsAt) continue;
            await new Promise((resolve) => setImmediate(resolve));
            sliceEndsAt = performance.now() + SLICE_MS;
          }
        }
      }
    } catch {
      this.#queue = [];
    } finally {
      this.#running = undefined;
    }
  }
}
