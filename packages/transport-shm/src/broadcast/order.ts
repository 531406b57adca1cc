/** One broadcast's place among the others of its group, at one member. */
export interface Step {
  /** Earlier broadcasts have written all that they write at this member: what they leave may be read. */
  readonly written: Promise<void>;
  /** Also, peers have read all that earlier broadcasts let them read here: it may be overwritten. */
  readonly quiet: Promise<void>;
}

/**
 * The order in which the broadcasts of a group take effect: what one writes, the next one can send, and what is still
 * being read, the next one does not overwrite. Roots in a row need not wait for each other's receivers.
 */
export class Order {
  #last: Step = { written: Promise.resolve(), quiet: Promise.resolve() };

  /**
   * Enters the next broadcast.
   *
   * @param begin Starts it, given its place; gives when it has written at this member and when its peers have read.
   * @returns When it is done.
   */
  enter(begin: (before: Step) => { written: Promise<void>; read: Promise<void> }): Promise<void> {
    const before = this.#last;
    const { written, read } = begin(before);
    const quiet = Promise.all([before.quiet, written, read]).then(() => {});
    written.catch(() => {}); // `quiet` tells
    quiet.catch(() => {}); // so does the caller's promise
    this.#last = { written, quiet };
    return quiet;
  }
}
