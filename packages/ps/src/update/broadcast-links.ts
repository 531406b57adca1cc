import { BroadcastLink, type LinkParts } from './broadcast-link.ts';

/** The group of all ranks and that of some; each uses memory of the device. */
const MAX_LINKS = 2;

/** The broadcast groups of a server: one for each set of ranks of recent updates. */
export class BroadcastLinks {
  readonly #parts: LinkParts;
  /** Least recently used first. */
  readonly #links = new Map<string, BroadcastLink>();
  /** Groups that this rank has seen: the next one has a higher number. */
  generation = 0;

  constructor(parts: LinkParts) {
    this.#parts = parts;
  }

  get hasTransport(): boolean {
    return this.#parts.transport !== undefined;
  }

  /** The transport can send from another range than it receives into. */
  get outOfPlace(): boolean {
    return this.#parts.transport?.supports.outOfPlace ?? true;
  }

  /** The link of these ranks, ascending. Removes the least recently used links. */
  of(members: readonly number[]): BroadcastLink {
    const key = members.join();
    const link = this.#links.get(key) ?? new BroadcastLink(members, this.#parts);
    this.#links.delete(key);
    this.#links.set(key, link);
    return link;
  }

  /** Leaves the groups that were not used recently. */
  async trim(): Promise<void> {
    const old = [...this.#links].slice(0, Math.max(0, this.#links.size - MAX_LINKS));
    for (const [key, link] of old) {
      this.#links.delete(key);
      await link.drop();
    }
  }

  /** Leaves all groups. */
  async drop(): Promise<void> {
    for (const link of this.#links.values()) await link.drop();
    this.#links.clear();
  }
}
