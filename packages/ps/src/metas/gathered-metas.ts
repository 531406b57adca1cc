import { setImmediate } from 'node:timers/promises';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { type BlockDigests, decodeRankMetas, metasDigest, type RankMetas } from '@checkpoint-engine/meta';
import { affinityOf, checkUniqueTensors } from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';

/** Maximum duration of decoding before it yields to the event loop. */
const SLICE_MS = 8;

/** The checked metas of all ranks of a checkpoint. */
export interface GatheredMetas {
  /** As gathered, without the digests of bytes, so that the objects stay the same if only bytes change. */
  readonly metas: WorldMetas;
  readonly digest: string;
  readonly digests: WorldDigests;
}

/** By rank, the digests of the bytes that it holds. */
export type WorldDigests = ReadonlyMap<number, BlockDigests>;

/** The digests that metas carry. */
export function digestsOf(metas: WorldMetas): WorldDigests {
  return new Map(metas.flatMap(({ rank, digests }) => (digests === undefined ? [] : [[rank, digests] as const])));
}

/** Metas with the digests of these ranks. */
export function withDigests(metas: WorldMetas, digests: WorldDigests): WorldMetas {
  if (digests.size === 0) return metas;
  return metas.map((rankMetas) => ({ ...rankMetas, digests: digests.get(rankMetas.rank) }));
}

/** Metas with this version of the weights. */
export function withVersion(metas: WorldMetas, weightVersion: string | undefined): WorldMetas {
  if (metas.every((rankMetas) => rankMetas.weightVersion === weightVersion)) return metas;
  return metas.map((rankMetas) => ({ ...rankMetas, weightVersion }));
}

/** Returns the name of the metas' checkpoint. @throws `CE_METAS_INVALID` They name none, or several. */
export function checkpointOf(metas: WorldMetas): string {
  const name = metas[0]?.checkpoint;
  if (name !== undefined && metas.every(({ checkpoint }) => checkpoint === name)) return name;
  throw new CheckpointEngineError(
    'CE_METAS_INVALID',
    `The metas must belong to one checkpoint, but they belong to ${JSON.stringify([...new Set(metas.map((m) => m.checkpoint))])}`,
    'Load the metas of one checkpoint at a time',
  );
}

/** Checks the metas of all ranks together. @throws `CE_METAS_INVALID`, `CE_TENSOR_DUPLICATE`, `CE_CHECKPOINT_EMPTY` */
export function checkMetas(metas: WorldMetas): GatheredMetas {
  const name = checkpointOf(metas);
  checkUniqueTensors(metas);
  if (!metas.some(({ tensors }) => tensors.length > 0)) {
    throw new CheckpointEngineError(
      'CE_CHECKPOINT_EMPTY',
      `No rank holds a tensor of checkpoint "${name}"`,
      'Register its files on at least one rank',
    );
  }
  return { metas, digest: metasDigest(metas), digests: digestsOf(metas) };
}

/** Decodes and checks the metas of a world, one rank at a time. @throws The errors of {@link checkMetas} */
export async function decodeMetas(encoded: readonly Uint8Array[]): Promise<GatheredMetas> {
  const metas: RankMetas[] = [];
  let sliceEndsAt = performance.now() + SLICE_MS;
  for (const bytes of encoded) {
    const rankMetas = decodeRankMetas(bytes);
    metas.push(rankMetas);
    // Planning needs the groups of all tensors; finding them takes longer than the plan.
    affinityOf(rankMetas.tensors);
    if (performance.now() < sliceEndsAt) continue;
    await setImmediate();
    sliceEndsAt = performance.now() + SLICE_MS;
  }
  return checkMetas(metas);
}
