import type { Memory, MemoryRange } from '@checkpoint-engine/interface';
import { type Placement, placeInRing } from '@checkpoint-engine/planner';

/** Device memory for buckets in turn, and the place of each bucket in it. */
export class Ring<M extends Memory = Memory> {
  readonly memory: M;
  readonly #sizesBytes: readonly number[];
  readonly #places: readonly Placement[];

  /** @param sizesBytes Sizes of the buckets, in order. */
  constructor(memory: M, sizesBytes: readonly number[]) {
    this.memory = memory;
    this.#sizesBytes = sizesBytes;
    this.#places = placeInRing(sizesBytes, memory.sizeBytes);
  }

  /** The last bucket that must have left before the `turn`-th is written; -1 for none. */
  after(turn: number): number {
    return this.#places[turn]!.after;
  }

  /** The place of the `turn`-th bucket. */
  range(turn: number): MemoryRange {
    return { memory: this.memory, offsetBytes: this.#places[turn]!.offsetBytes, sizeBytes: this.#sizesBytes[turn]! };
  }
}
