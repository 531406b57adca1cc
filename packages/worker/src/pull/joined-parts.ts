import { type PartOf, PULL_PART_LIMITS } from '@checkpoint-engine/interface';
import { serverBroke } from '../server-message.ts';

/** Joins the parts of one message, which arrive in order. */
export class JoinedParts<T extends PartOf> {
  readonly #what: string;
  #parts: T[] = [];

  constructor(what: string) {
    this.#what = what;
  }

  /** Adds a part. @returns All parts, after the last one. @throws `CE_WORKER_PROTOCOL` It is not the next part. */
  take(message: T): readonly T[] | undefined {
    const { part, parts } = message;
    const wanted = this.#parts[0]?.parts ?? parts;
    if (part !== this.#parts.length || parts !== wanted || part >= parts || parts > PULL_PART_LIMITS.parts) {
      throw serverBroke(`part ${part} of ${parts} of its ${this.#what} out of order`);
    }
    this.#parts.push(message);
    if (part + 1 < parts) return undefined;
    const all = this.#parts;
    this.#parts = [];
    return all;
  }
}
