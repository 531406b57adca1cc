import type { Windows } from '@checkpoint-engine/interface';
import { blockCount, type ParameterMeta, type RankMetas } from '@checkpoint-engine/meta';
import type { ExpectedDigests, ExpectedTensor } from './expected-digests.ts';
import { hashOf, type Sampling } from './sampling.ts';

/** A range of a tensor whose digest is requested from workers. */
export interface HeldWindow {
  /** Index of the tensor over all ranks' metas. */
  readonly tensor: number;
  readonly name: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  readonly expected: bigint;
}

/** All tensors in columns. */
export interface ListedTensors {
  readonly metas: readonly ParameterMeta[];
  readonly holders: readonly RankMetas[];
  /** Index of each tensor in the metas of its holder. */
  readonly index: Uint32Array;
}

/** Tensors that workers keep, ascending by index. Computed once per plan, because names and holders do not change. */
export interface KeptTensors {
  readonly tensor: Uint32Array;
  readonly metas: readonly ParameterMeta[];
  readonly holders: readonly RankMetas[];
  /** Index of each tensor in the metas of its holder. */
  readonly index: Uint32Array;
  /** By tensor, the value from which the sampling chooses its blocks. */
  readonly key: Int32Array;
}

/**
 * Prepares tensors for {@link heldWindows}.
 *
 * @param tensors Indexes in the list.
 */
export function keptTensors(tensors: Iterable<number>, list: ListedTensors): KeptTensors {
  const tensor = Uint32Array.from(tensors).sort();
  const metas = Array.from(tensor, (wanted) => list.metas[wanted]!);
  const holders = Array.from(tensor, (wanted) => list.holders[wanted]!);
  const index = tensor.map((wanted) => list.index[wanted]!);
  return { tensor, metas, holders, index, key: Int32Array.from(metas, ({ name }) => hashOf(name)) };
}

/**
 * The ranges of tensors that are compared in engines: whole tensors, or the blocks that were chosen. Equal on all ranks
 * of a host.
 *
 * @returns The windows, without tensors whose digests no rank has reported: those are `unknown`.
 */
export function heldWindows(
  { tensor, metas, holders, index, key }: KeptTensors,
  expected: ExpectedDigests,
  sampling: Sampling,
): { readonly windows: readonly HeldWindow[]; readonly unknown: readonly number[] } {
  const windows: HeldWindow[] = [];
  const unknown: number[] = [];
  let holder: RankMetas | undefined;
  let told: ReturnType<ExpectedDigests['toldBy']>;
  for (let at = 0; at < tensor.length; at++) {
    if (holders[at] !== holder) {
      holder = holders[at]!;
      told = expected.toldBy(holder.rank);
    }
    const { name, sizeBytes } = metas[at]!;
    if (told === undefined) {
      unknown.push(tensor[at]!);
      continue;
    }
    const place = index[at]!;
    if (sampling.isWhole) {
      windows.push({ tensor: tensor[at]!, name, offsetBytes: 0, sizeBytes, expected: told.whole(place) });
      continue;
    }
    const count = told.first[place + 1]! - told.first[place]!;
    const chooser = sampling.chooserOf(key[at]!);
    for (let block = 0; block < count; block++) {
      if (!sampling.chooses(chooser, block)) continue;
      windows.push(windowOf(tensor[at]!, metas[at]!, told.blockBytes, block, told.block(place, block)!));
    }
  }
  return { windows, unknown };
}

/** A window for each block of a tensor. */
export function blocksOf(tensor: number, { meta, blockBytes, block }: ExpectedTensor): HeldWindow[] {
  const count = blockCount(meta.sizeBytes, blockBytes);
  return Array.from({ length: count }, (_, index) => windowOf(tensor, meta, blockBytes, index, block(index)!));
}

function windowOf(
  tensor: number,
  { name, sizeBytes }: ParameterMeta,
  blockBytes: number,
  block: number,
  expected: bigint,
): HeldWindow {
  const offsetBytes = block * blockBytes;
  return { tensor, name, offsetBytes, sizeBytes: Math.min(blockBytes, sizeBytes - offsetBytes), expected };
}

/** Windows as columns. */
export function columnsOf(windows: readonly HeldWindow[]): Windows {
  return {
    tensor: Uint32Array.from(windows, ({ tensor }) => tensor),
    offsetBytes: Float64Array.from(windows, ({ offsetBytes }) => offsetBytes),
    sizeBytes: Float64Array.from(windows, ({ sizeBytes }) => sizeBytes),
  };
}
