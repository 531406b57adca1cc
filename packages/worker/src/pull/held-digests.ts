import {
  CheckpointEngineError,
  type DigestRange,
  isHostMemory,
  type Memory,
  type Places,
  type Windows,
} from '@checkpoint-engine/interface';
import type { PulledSlice } from './declaration.ts';
import { copiesOf } from './pull-table.ts';

/** Digests by window, and the number of bytes of each window that the engine holds. */
export interface HeldDigests {
  readonly digests: BigUint64Array;
  readonly bytes: Float64Array;
}

/**
 * Digests the parts of windows that slices cover, in the engine's memory.
 *
 * @param isWanted Called between parts; the function stops if it returns false.
 * @throws `CE_NOT_SUPPORTED` The engine's memory is not host memory, or its device cannot digest; `CE_CLOSED` The digests
 *   are no longer wanted.
 */
export async function digestsOf(
  slices: readonly PulledSlice[],
  windows: Windows,
  isWanted: () => boolean,
): Promise<HeldDigests> {
  const { tensor, offsetBytes, sizeBytes } = windows;
  const count = tensor.length;
  const digests = new BigUint64Array(count);
  const bytes = new Float64Array(count);
  // Each tensor is a region that begins at 0, so that the source of a copy is a position in its tensor.
  const regions = new Map<number, Memory>();
  const windowOf = new Map<Memory, number>();
  const region = new Uint32Array(count);
  for (let window = 0; window < count; window++) {
    const place = {} as Memory;
    regions.set(window, place);
    windowOf.set(place, window);
    region[window] = window;
  }
  const places: Places = { tensor, tensorOffsetBytes: offsetBytes, sizeBytes, region, offsetBytes };
  for (const copies of copiesOf(slices, places, regions)) {
    const byMemory = new Map<Memory, { ranges: DigestRange[]; windows: number[] }>();
    for (const { from, to } of copies) {
      const window = windowOf.get(from.memory)!;
      const { ranges, windows: sums } = byMemory.get(to.memory) ?? { ranges: [], windows: [] };
      byMemory.set(to.memory, { ranges, windows: sums });
      if (sums.at(-1) !== window) sums.push(window);
      const { offsetBytes: at, sizeBytes: size } = to;
      ranges.push({ offsetBytes: at, sizeBytes: size, positionBytes: from.offsetBytes, sum: sums.length - 1 });
      bytes[window]! += size;
    }
    for (const [memory, { ranges, windows: sums }] of byMemory) {
      if (!isWanted()) throw new CheckpointEngineError('CE_CLOSED', 'The digests were stopped', 'Run the update again');
      const found = await digestHost(memory, ranges, sums.length);
      for (const [at, window] of sums.entries()) digests[window]! += found[at]!;
    }
  }
  return { digests, bytes };
}

async function digestHost(memory: Memory, ranges: readonly DigestRange[], sumCount: number): Promise<BigUint64Array> {
  if (isHostMemory(memory) && memory.digest !== undefined) {
    return await memory.digest({ ranges, blockBytes: 0, sumCount });
  }
  throw new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    'The worker cannot digest the memory of its engine: it is not host memory',
    'Update without `verify`, or with the Python receiver, which digests memory of GPUs',
  );
}
