import { createHash } from 'node:crypto';
import type { ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import type { WorldMetas } from '../api.ts';

/** The tensors of all ranks in columns. The index of a tensor is its position in the metas of all ranks. */
export interface TensorList {
  /** Equal for equal names, dtypes and shapes in the same order, independent of their location. */
  readonly digest: string;
  readonly sizesBytes: Float64Array;
  readonly metas: readonly ParameterMeta[];
  readonly holders: readonly RankMetas[];
}

const known = new WeakMap<WorldMetas, TensorList>();

/** Lists tensors. Computed once per metas. */
export function tensorList(metas: WorldMetas): TensorList {
  let list = known.get(metas);
  if (list === undefined) {
    list = make(metas);
    known.set(metas, list);
  }
  return list;
}

function make(world: WorldMetas): TensorList {
  const metas = world.flatMap(({ tensors }) => tensors);
  const hash = createHash('sha256');
  for (const { name, dtype, shape } of metas) hash.update(`${name}\0${dtype}\0${shape.join()}\n`);
  return {
    digest: hash.digest('hex').slice(0, 32),
    sizesBytes: Float64Array.from(metas, ({ sizeBytes }) => sizeBytes),
    metas,
    holders: world.flatMap((holder) => holder.tensors.map(() => holder)),
  };
}
