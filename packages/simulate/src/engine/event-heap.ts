/** An event at a point in time. */
export interface TimedEvent {
  readonly atMs: number;
  /** Order of events at the same time. */
  readonly turn: number;
  /** Absent for an obsolete event. */
  run(): void;
}

/** A binary heap of events, ordered by time, then by their order of insertion. */
export class EventHeap {
  readonly #events: TimedEvent[] = [];

  get next(): TimedEvent | undefined {
    return this.#events[0];
  }

  push(event: TimedEvent): void {
    const events = this.#events;
    let at = events.length;
    events.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, events[parent]!)) break;
      events[at] = events[parent]!;
      at = parent;
    }
    events[at] = event;
  }

  pop(): TimedEvent | undefined {
    const events = this.#events;
    const first = events[0];
    const last = events.pop();
    if (events.length === 0 || last === undefined) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child += 1;
      if (!isBefore(events[child]!, last)) break;
      events[at] = events[child]!;
      at = child;
    }
    events[at] = last;
    return first;
  }
}

const isBefore = (a: TimedEvent, b: TimedEvent): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.turn < b.turn);
