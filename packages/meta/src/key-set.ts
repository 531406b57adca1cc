const FEW = 8;

/** A set of strings that compares instead of hashing while it is small, and that is cheap to clear. */
export class KeySet {
  readonly #few: string[] = [];
  #count = 0;
  #many: Set<string> | undefined;

  /** Adds `key`, and returns whether it is new. */
  add(key: string): boolean {
    if (this.#many !== undefined) return this.#many.size !== this.#many.add(key).size;
    for (let i = 0; i < this.#count; i++) {
      if (this.#few[i] === key) return false;
    }
    if (this.#count < FEW) this.#few[this.#count++] = key;
    else this.#many = new Set(this.#few).add(key);
    return true;
  }

  clear(): void {
    this.#count = 0;
    this.#many = undefined;
  }
}
