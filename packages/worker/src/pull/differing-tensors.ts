import { Buffer } from 'node:buffer';
import { setImmediate } from 'node:timers/promises';
import type { Memory, Places } from '@checkpoint-engine/interface';
import { RangeView } from '../range-view.ts';
import type { PulledSlice } from './declaration.ts';
import { copiesOf } from './pull-table.ts';

/**
 * Tensors of which some byte that the engine holds is not what a pull would bring.
 *
 * @throws `CE_NOT_SUPPORTED` JavaScript cannot see the memory: a GPU holds it.
 */
export async function differingTensors(
  slices: readonly PulledSlice[],
  places: Places,
  regions: ReadonlyMap<number, Memory>,
): Promise<Set<number>> {
  const views = new Map<Memory, RangeView>();
  const bytesOf = (memory: Memory, offsetBytes: number, sizeBytes: number): Uint8Array => {
    const view = views.get(memory) ?? new RangeView(memory, 0, memory.sizeBytes);
    views.set(memory, view);
    return view.bytes(offsetBytes, sizeBytes);
  };
  const differing = new Set<number>();
  try {
    for (const slice of slices) {
      if (differing.has(slice.tensor)) continue;
      for (const copies of copiesOf([slice], places, regions)) {
        const isEqual = copies.every(({ from, to }) => {
          const source = bytesOf(from.memory, from.offsetBytes, from.sizeBytes);
          return Buffer.compare(source, bytesOf(to.memory, to.offsetBytes, to.sizeBytes)) === 0;
        });
        if (!isEqual) differing.add(slice.tensor);
        await setImmediate();
      }
    }
  } finally {
    for (const view of views.values()) view.close();
  }
  return differing;
}
