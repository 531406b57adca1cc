import type { Memory, MemoryRange } from '@checkpoint-engine/interface';

/** Equal slots in one allocation, used in turn. */
export class Slots<M extends Memory = Memory> {
  readonly memory: M;
  readonly count: number;
  readonly slotBytes: number;

  constructor(memory: M, count: number, slotBytes: number) {
    this.memory = memory;
    this.count = count;
    this.slotBytes = slotBytes;
  }

  /** Where the slot of the `turn`-th use begins. */
  offsetBytes(turn: number): number {
    return (turn % this.count) * this.slotBytes;
  }

  /** The first bytes of the slot of the `turn`-th use. */
  range(turn: number, sizeBytes: number): MemoryRange {
    return { memory: this.memory, offsetBytes: this.offsetBytes(turn), sizeBytes };
  }
}
