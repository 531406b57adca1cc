import { Buffer } from 'node:buffer';
import { setImmediate } from 'node:timers/promises';
import type { Memory, Places } from '@checkpoint-engine/interface';
import { RangeView } from '../range-view.ts';
import type { PulledSlice } from './declaration.ts';
import { copiesOf } from './pull-table.ts';

/** Compares the weights of an engine with the data of a pull, at once or in parts. */
export class Comparison {
  readonly #differing = new Set<number>();
  /** By tensor, bytes that were equal. */
  readonly #equalBytes = new Map<number, number>();

  /**
   * Compares those bytes of slices that these places have.
   *
   * @throws `CE_NOT_SUPPORTED` JavaScript cannot access the memory because it is on a GPU.
   */
  async compare(slices: readonly PulledSlice[], places: Places, regions: ReadonlyMap<number, Memory>): Promise<void> {
    const views = new Map<Memory, RangeView>();
    const bytesOf = (memory: Memory, offsetBytes: number, sizeBytes: number): Uint8Array => {
      const view = views.get(memory) ?? new RangeView(memory, 0, memory.sizeBytes);
      views.set(memory, view);
      return view.bytes(offsetBytes, sizeBytes);
    };
    const there = new Set(places.tensor);
    try {
      for (const slice of slices) {
        if (!there.has(slice.tensor) || this.#differing.has(slice.tensor)) continue;
        for (const copies of copiesOf([slice], places, regions)) {
          let bytes = this.#equalBytes.get(slice.tensor) ?? 0;
          for (const { from, to } of copies) {
            const source = bytesOf(from.memory, from.offsetBytes, from.sizeBytes);
            const isEqual = Buffer.compare(source, bytesOf(to.memory, to.offsetBytes, to.sizeBytes)) === 0;
            if (isEqual) bytes += from.sizeBytes;
            else this.#differing.add(slice.tensor);
          }
          this.#equalBytes.set(slice.tensor, bytes);
          await setImmediate();
        }
      }
    } finally {
      for (const view of views.values()) view.close();
    }
  }

  /** Tensors whose slices were compared as a whole, and are equal. */
  equalOf(slices: readonly PulledSlice[]): Set<number> {
    const wanted = new Map<number, number>();
    for (const { tensor, rows, rowBytes } of slices) {
      wanted.set(tensor, (wanted.get(tensor) ?? 0) + rows * rowBytes);
    }
    const isEqual = ([tensor, bytes]: readonly [number, number]): boolean =>
      !this.#differing.has(tensor) && this.#equalBytes.get(tensor) === bytes;
    return new Set([...wanted].filter(isEqual).map(([tensor]) => tensor));
  }
}
