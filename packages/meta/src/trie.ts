/** Numbers distinct sequences of numbers, without building a key for each. */
export class Trie {
  #children: Map<number, Trie> | undefined;
  /** What the owner gave the sequence that ends here; -1 before. */
  id = -1;

  /** The node one number further, made where it is not there. */
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
