/** The position of one broadcast among the others of its group, at one member. */
export interface Step {
  /** Resolves when earlier broadcasts have finished their writes at this member, so that their results may be read. */
  readonly written: Promise<void>;
  /**
   * Resolves when peers have also finished their reads of earlier broadcasts, so that the ranges may be overwritten.
   */
  readonly quiet: Promise<void>;
}

/**
 * The order in which the broadcasts of a group take effect: a broadcast can send the data that an earlier one wrote,
 * and does not overwrite data that peers still read. Roots in a row need not wait for each other's receivers.
 */
export class Order {
  #last: Step = { written: Promise.resolve(), quiet: Promise.resolve() };

  /**
   * Enters the next broadcast.
   *
   * @param begin Starts the broadcast at its position; returns when it has written at this member and when its peers
   *   have read.
   * @returns A promise that resolves when the broadcast is done.
   */
  enter(begin: (before: Step) => { written: Promise<void>; read: Promise<void> }): Promise<void> {
    const before = this.#last;
    const { written, read } = begin(before);
    const quiet = Promise.all([before.quiet, written, read]).then(() => {});
    written.catch(() => {}); // `quiet` reports it.
    quiet.catch(() => {}); // The caller's promise reports it as well.
    this.#last = { written, quiet };
    return quiet;
  }
}
