/** Makes all pending operations fail together, with the same error. */
export class Fuse {
  readonly #rejects = new Set<(error: Error) => void>();
  #error: Error | undefined;

  /** The error, once the fuse has blown. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** The first error wins. */
  blow(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    for (const reject of this.#rejects) reject(error);
    this.#rejects.clear();
  }

  /** Returns the promise's result, unless the fuse blows first. */
  guard<T>(promise: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#error !== undefined) reject(this.#error);
      else this.#rejects.add(reject);
      promise.then(resolve, reject).finally(() => this.#rejects.delete(reject));
    });
  }
}
