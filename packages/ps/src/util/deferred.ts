/** A promise that is settled from outside, by following another one. */
export class Deferred<T = void> {
  readonly promise: Promise<T>;
  #resolve!: (value: T | PromiseLike<T>) => void;

  constructor() {
    this.promise = new Promise<T>((resolve) => {
      this.#resolve = resolve;
    });
    // Whoever waits sees the rejection; that nobody waits yet is no fault.
    this.promise.catch(() => {});
  }

  /** Settles as `source` does. The first call counts. */
  follow(source: T | PromiseLike<T>): void {
    this.#resolve(source);
  }
}
