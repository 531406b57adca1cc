import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import { type BucketCopy, bucketLayout } from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';
import { type BucketPart, copiesWithin } from './stream-chunk.ts';

/**
 * The pieces of a part of a bucket that one owner has. `bucketOffsetBytes` of the copies is from the start of the part.
 */
export interface HeldPart {
  readonly owner: RankMetas;
  readonly copies: readonly BucketCopy[];
}

/** The locations of the contents of buckets in the memory of one world's ranks. */
export class HolderIndex {
  readonly #world: WorldMetas;
  readonly #planned: WorldMetas;
  readonly #alignBytes: number;
  #byName: ReadonlyMap<string, readonly [RankMetas, ParameterMeta]> | undefined;

  /** @param planned The metas for which the buckets were planned: `world` itself, or the world that it replaces. */
  constructor(world: WorldMetas, planned: WorldMetas, alignBytes: number) {
    this.#world = world;
    this.#planned = planned;
    this.#alignBytes = alignBytes;
  }

  /** By owner, the pieces that fill part of a bucket. */
  partsOf(part: BucketPart): HeldPart[] {
    const { bucket } = part;
    const planned = this.#planned.find(({ rank }) => rank === bucket.ownerRank)!;
    const { copies, tensors } = bucketLayout(planned, bucket, this.#alignBytes);
    if (this.#world === this.#planned) return [{ owner: planned, copies: copiesWithin(copies, part) }];
    this.#byName ??= indexOf(this.#world);
    const byOwner = new Map<RankMetas, BucketCopy[]>();
    for (const { name, offsetBytes: bucketOffsetBytes, sizeBytes } of tensors) {
      const [owner, { region, offsetBytes }] = this.#byName.get(name)!;
      const held = byOwner.get(owner) ?? [];
      byOwner.set(owner, held);
      held.push({ region, offsetBytes, bucketOffsetBytes, sizeBytes });
    }
    return [...byOwner]
      .map(([owner, held]) => ({ owner, copies: copiesWithin(held, part) }))
      .filter(({ copies: held }) => held.length > 0);
  }
}

/**
 * Checks that a world holds the same checkpoint as another: every tensor has the same name, dtype and shape. Only the
 * owners know whether the bytes are the same.
 *
 * @throws `CE_METAS_INVALID` with the name of the tensor.
 */
export function checkSameCheckpoint(metas: WorldMetas, fallback: WorldMetas): void {
  const byName = indexOf(fallback);
  for (const { checkpoint, tensors } of metas) {
    for (const { name, dtype, shape } of tensors) {
      const other = byName.get(name)?.[1];
      const isSame = other?.dtype === dtype && other.shape.join() === shape.join();
      if (isSame && fallback.every((rankMetas) => rankMetas.checkpoint === checkpoint)) continue;
      throw new CheckpointEngineError(
        'CE_METAS_INVALID',
        other === undefined || !isSame
          ? `Tensor "${name}" is ${dtype} [${shape.join(', ')}], but in the metas of other holders ${other === undefined ? 'it does not exist' : `${other.dtype} [${other.shape.join(', ')}]`}`
          : `The metas belong to checkpoint "${checkpoint}", those of other holders to "${fallback[0]?.checkpoint}"`,
        'Load the metas of worlds that registered the same checkpoint under the same name',
        { tensor: name },
      );
    }
  }
}

function indexOf(world: WorldMetas): Map<string, readonly [RankMetas, ParameterMeta]> {
  return new Map(
    world.flatMap((rankMetas) => rankMetas.tensors.map((meta) => [meta.name, [rankMetas, meta] as const])),
  );
}
