/** Numbers distinct sequences of numbers without building a key for each. */
export class Trie {
  #children: Map<number, Trie> | undefined;
  /** The number that the owner assigned to the sequence that ends here; -1 until then. */
  id = -1;

  /** Returns the child node for a number, and creates it if necessary. */
  next(value: number): Trie {
    this.#children ??= new Map();
    let child = this.#children.get(value);
    if (child === undefined) {
      child = new Trie();
      this.#children.set(value, child);
    }
    return child;
  }
}
