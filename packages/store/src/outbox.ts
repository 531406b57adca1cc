import { setImmediate } from 'node:timers';

/** Time for which sending continues before the event loop gets a turn. */
const SLICE_MS = 8;

/** Passes messages of type `M` to a socket, in order, in slices that leave the event loop to others. */
export class Outbox<M> {
  readonly #send: (frames: M) => Promise<void>;
  #queue: Iterable<M>[] = [];
  #urgent: Iterable<M>[] = [];
  #running: Promise<void> | undefined;

  /** @param send Rejects only when the socket is closed; queued messages are dropped then. */
  constructor(send: (frames: M) => Promise<void>) {
    this.#send = send;
  }

  /** @param urgent Goes before all messages that are not urgent. @default false */
  push(messages: Iterable<M>, urgent = false): void {
    (urgent ? this.#urgent : this.#queue).push(messages);
    this.#running ??= this.#run();
  }

  /** Resolves when all messages are passed on, or after `limitMs`. */
  async flush(limitMs: number): Promise<void> {
    if (this.#running === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, limitMs);
    });
    await Promise.race([this.#running, limit]);
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    // Sending starts in a later turn, so that push() returns before anything is sent.
    await Promise.resolve();
    try {
      let sliceEndsAt = performance.now() + SLICE_MS;
      for (const frames of this.#messages()) {
        await this.#send(frames);
        if (performance.now() < sliceEndsAt) continue;
        await new Promise((resolve) => setImmediate(resolve));
        sliceEndsAt = performance.now() + SLICE_MS;
      }
    } catch {
      this.#queue = [];
      this.#urgent = [];
    } finally {
      this.#running = undefined;
    }
  }

  *#messages(): Generator<M> {
    while (this.#queue.length > 0 || this.#urgent.length > 0) {
      const queue = this.#queue;
      this.#queue = [];
      yield* this.#takeUrgent();
      for (const messages of queue) {
        for (const frames of messages) {
          yield frames;
          yield* this.#takeUrgent();
        }
      }
    }
  }

  *#takeUrgent(): Generator<M> {
    while (this.#urgent.length > 0) yield* this.#urgent.shift()!;
  }
}
