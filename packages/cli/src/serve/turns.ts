/** Lets one piece of work run at a time; the others wait in their order. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** @throws the signal's reason, when it has fired by the time that the turn comes. */
  take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const turn = this.#last.then(async () => {
      signal?.throwIfAborted();
      return await work();
    });
    this.#last = turn.catch(() => {});
    return turn;
  }
}
