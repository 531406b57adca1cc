/** One member's pending call at a meeting. */
export interface Arrival {
  readonly id: number;
  readonly value: Uint8Array;
}

/** A round that all members have reached: one arrival per member, in the order of the members. */
export type Round = readonly { readonly rank: number; readonly arrival: Arrival }[];

/**
 * A barrier or all-gather by name: each member has a queue of calls, and a round completes when every queue has a head.
 * So the n-th call of one member meets the n-th of every other, however far ahead one of them is.
 */
export class Meeting {
  readonly #queues: Map<number, Arrival[]>;
  /** Members whose queue has a head. */
  #come = 0;

  constructor(members: readonly number[]) {
    this.#queues = new Map(members.map((rank) => [rank, []]));
  }

  /** Members that the next round waits for. */
  get missing(): number[] {
    return [...this.#queues].filter(([, queue]) => queue.length === 0).map(([rank]) => rank);
  }

  get empty(): boolean {
    return this.#come === 0;
  }

  /** Adds a call. Returns the round that it completes, if any. */
  arrive(rank: number, arrival: Arrival): Round | undefined {
    if (this.#queues.get(rank)!.push(arrival) === 1) this.#come += 1;
    if (this.#come < this.#queues.size) return undefined;
    const round = [...this.#queues].map(([member, queue]) => ({ rank: member, arrival: queue.shift()! }));
    this.#count();
    return round;
  }

  /** Withdraws a call. Returns whether it was still pending. */
  withdraw(rank: number, id: number): boolean {
    const queue = this.#queues.get(rank)!;
    const at = queue.findIndex((arrival) => arrival.id === id);
    if (at >= 0) queue.splice(at, 1);
    this.#count();
    return at >= 0;
  }

  /** Withdraws all calls of a rank. */
  withdrawAll(rank: number): void {
    this.#queues.get(rank)?.splice(0);
    this.#count();
  }

  /** Removes and returns all pending calls. */
  drain(): { rank: number; id: number }[] {
    const pending = [...this.#queues].flatMap(([rank, queue]) => queue.splice(0).map(({ id }) => ({ rank, id })));
    this.#count();
    return pending;
  }

  #count(): void {
    this.#come = 0;
    for (const queue of this.#queues.values()) if (queue.length > 0) this.#come += 1;
  }
}
