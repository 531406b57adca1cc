import type { Memory, MemoryRange } from '@checkpoint-engine/interface';
import { type Placement, placeInRing } from '@checkpoint-engine/planner';

/** Device memory that buckets pass through one after another, and where each of them lies in it. */
export class Ring<M extends Memory = Memory> {
  readonly memory: M;
  readonly #sizesBytes: readonly number[];
  readonly #places: readonly Placement[];

  /** @param sizesBytes Of the buckets that will pass, in their order. */
  constructor(memory: M, sizesBytes: readonly number[]) {
    this.memory = memory;
    this.#sizesBytes = sizesBytes;
    this.#places = placeInRing(sizesBytes, memory.sizeBytes);
  }

  /** The last bucket that must have left before the `turn`-th is written; -1 for none. */
  after(turn: number): number {
    return this.#places[turn]!.after;
  }

  /** Where the `turn`-th bucket lies. */
  range(turn: number): MemoryRange {
    return { memory: this.memory, offsetBytes: this.#places[turn]!.offsetBytes, sizeBytes: this.#sizesBytes[turn]! };
  }
}
