/** Numbers distinct strings in order of first appearance. */
export class Dictionary {
  readonly #indexes = new Map<string, number>();

  get size(): number {
    return this.#indexes.size;
  }

  /** Returns the number of `key`, and assigns the next number to a new key. */
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
