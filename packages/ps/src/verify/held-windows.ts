import { addDigests, type Windows } from '@checkpoint-engine/interface';
import { blockCount, type ParameterMeta } from '@checkpoint-engine/meta';
import { hashOf } from './arrival-check.ts';
import type { BoxesByTensor } from './coverage.ts';
import type { ExpectedDigests, ExpectedTensor } from './expected-digests.ts';
import type { Sampling } from './sampling.ts';

/** A range of a tensor whose digest workers are asked for. */
export interface HeldWindow {
  /** Index of the tensor over all ranks' metas. */
  readonly tensor: number;
  readonly name: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  readonly expected: bigint;
}

/**
 * The ranges of tensors that are compared in engines: whole tensors, or the blocks that were chosen. Equal on all ranks
 * of a host.
 *
 * @param metas Of the tensors, by index.
 * @returns Without tensors whose digests nobody has told: those are `unknown`.
 */
export function heldWindows(
  boxes: BoxesByTensor,
  metas: readonly ParameterMeta[],
  expected: ExpectedDigests,
  sampling: Sampling,
): { readonly windows: readonly HeldWindow[]; readonly unknown: readonly number[] } {
  const windows: HeldWindow[] = [];
  const unknown: number[] = [];
  for (const tensor of [...boxes.keys()].sort((a, b) => a - b)) {
    const { name, sizeBytes } = metas[tensor]!;
    const known = expected.toldOf(name);
    if (known === undefined) {
      unknown.push(tensor);
    } else if (sampling.isWhole) {
      windows.push({ tensor, name, offsetBytes: 0, sizeBytes, expected: digestOf(known) });
    } else {
      const key = hashOf(name);
      windows.push(...blocksOf(tensor, known, (block) => sampling.has(key, block)));
    }
  }
  return { windows, unknown };
}

/** A window for each block of a tensor that is chosen; for all blocks by default. */
export function blocksOf(
  tensor: number,
  { meta, blockBytes, block }: ExpectedTensor,
  isChosen: (block: number) => boolean = () => true,
): HeldWindow[] {
  const windows: HeldWindow[] = [];
  const count = blockCount(meta.sizeBytes, blockBytes);
  for (let index = 0; index < count; index++) {
    if (!isChosen(index)) continue;
    const offsetBytes = index * blockBytes;
    const sizeBytes = Math.min(blockBytes, meta.sizeBytes - offsetBytes);
    windows.push({ tensor, name: meta.name, offsetBytes, sizeBytes, expected: block(index)! });
  }
  return windows;
}

/** Windows as columns. */
export function columnsOf(windows: readonly HeldWindow[]): Windows {
  return {
    tensor: Uint32Array.from(windows, ({ tensor }) => tensor),
    offsetBytes: Float64Array.from(windows, ({ offsetBytes }) => offsetBytes),
    sizeBytes: Float64Array.from(windows, ({ sizeBytes }) => sizeBytes),
  };
}

function digestOf({ meta, blockBytes, block }: ExpectedTensor): bigint {
  const count = blockCount(meta.sizeBytes, blockBytes);
  return addDigests(Array.from({ length: count }, (_, index) => block(index)!));
}
