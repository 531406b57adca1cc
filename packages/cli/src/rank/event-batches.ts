import type { RankEvent } from '../process/messages.ts';

const EVERY_MS = 25;

/** Collects events into batches, so that a stream of small buckets does not become a stream of small writes. */
export class EventBatches {
  readonly #send: (events: readonly RankEvent[]) => void;
  #events: RankEvent[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(send: (events: readonly RankEvent[]) => void) {
    this.#send = send;
  }

  add(event: RankEvent): void {
    this.#events.push(event);
    this.#timer ??= setTimeout(() => this.flush(), EVERY_MS);
  }

  /** Sends the collected events now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#events.length === 0) return;
    this.#send(this.#events);
    this.#events = [];
  }
}
