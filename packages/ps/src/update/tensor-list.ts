import { createHash } from 'node:crypto';
import type { ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import type { WorldMetas } from '../api.ts';

/** The tensors of all ranks in columns. The index of a tensor is its position in the columns. */
export interface TensorList {
  readonly sizesBytes: Float64Array;
  readonly metas: readonly ParameterMeta[];
  readonly holders: readonly RankMetas[];
  /** Index of each tensor in the metas of its holder. */
  readonly index: Uint32Array;
}

/** Tensors in the order of their names. */
export interface NamedTensorList extends TensorList {
  /** Equal for equal names, dtypes and shapes, independent of their location. */
  readonly digest: string;
}

interface Entry {
  readonly tensor: ParameterMeta;
  readonly holder: RankMetas;
  readonly index: number;
}

const byRank = new WeakMap<WorldMetas, TensorList>();
const byName = new WeakMap<WorldMetas, NamedTensorList>();

/** Lists tensors by rank, then as in the rank's metas: buckets use these indexes. Computed once per metas. */
export function tensorList(metas: WorldMetas): TensorList {
  let list = byRank.get(metas);
  if (list === undefined) {
    list = listOf(entriesOf(metas));
    byRank.set(metas, list);
  }
  return list;
}

/**
 * Lists tensors by name: pulls use these indexes. A worker makes one recording per list, so the list must not
 * depend on the ranks and the files that hold the tensors. Computed once per metas.
 */
export function tensorsByName(metas: WorldMetas): NamedTensorList {
  let list = byName.get(metas);
  if (list === undefined) {
    const entries = entriesOf(metas).sort(({ tensor: { name: a } }, { tensor: { name: b } }) => (a < b ? -1 : 1));
    list = { ...listOf(entries), digest: digestOf(entries) };
    byName.set(metas, list);
  }
  return list;
}

function entriesOf(metas: WorldMetas): Entry[] {
  return metas.flatMap((holder) => holder.tensors.map((tensor, index) => ({ tensor, holder, index })));
}

function listOf(entries: readonly Entry[]): TensorList {
  return {
    sizesBytes: Float64Array.from(entries, ({ tensor }) => tensor.sizeBytes),
    metas: entries.map(({ tensor }) => tensor),
    holders: entries.map(({ holder }) => holder),
    index: Uint32Array.from(entries, ({ index }) => index),
  };
}

function digestOf(entries: readonly Entry[]): string {
  const hash = createHash('sha256');
  for (const { tensor } of entries) hash.update(`${tensor.name}\0${tensor.dtype}\0${tensor.shape.join()}\n`);
  return hash.digest('hex').slice(0, 32);
}
