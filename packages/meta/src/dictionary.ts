/** Numbers distinct strings in the order in which they come. */
export class Dictionary {
  readonly #indexes = new Map<string, number>();

  get size(): number {
    return this.#indexes.size;
  }

  /** The number of `key`; the next one, where it is new. */
  indexOf(key: string): number {
    let index = this.#indexes.get(key);
    if (index === undefined) {
      index = this.#indexes.size;
      this.#indexes.set(key, index);
    }
    return index;
  }

  keys(): Iterable<string> {
    return this.#indexes.keys();
  }
}
