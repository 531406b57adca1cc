/** A promise that another promise settles later. */
export class Deferred<T = void> {
  readonly promise: Promise<T>;
  #resolve!: (value: T | PromiseLike<T>) => void;

  constructor() {
    this.promise = new Promise<T>((resolve) => {
      this.#resolve = resolve;
    });
    // Callers that wait see the rejection; a rejection without a waiter is not an error.
    this.promise.catch(() => {});
  }

  /** Settles like `source`. The first call counts. */
  follow(source: T | PromiseLike<T>): void {
    this.#resolve(source);
  }
}
