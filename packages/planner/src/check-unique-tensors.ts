import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';

/**
 * Checks that every tensor has one owner. {@link planBuckets} does not check this because the check costs more than
 * planning: call it once after metas were gathered or loaded.
 *
 * @throws {CheckpointEngineError} `CE_TENSOR_DUPLICATE` naming the tensor and both of its owners.
 */
export function checkUniqueTensors(metasByRank: readonly RankMetas[]): void {
  const owners = new Map<string, number>();
  for (const { rank, tensors } of metasByRank) {
    for (const { name } of tensors) {
      const owner = owners.get(name);
      if (owner !== undefined) throw duplicateError(name, owner, rank);
      owners.set(name, rank);
    }
  }
}

function duplicateError(tensor: string, owner: number, rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TENSOR_DUPLICATE',
    owner === rank
      ? `Tensor "${tensor}" appears twice on rank ${rank}, expected once`
      : `Tensor "${tensor}" appears on rank ${owner} and on rank ${rank}, expected one owner`,
    'Register each tensor on one rank only: give ranks disjoint files or tensors',
    { tensor, rank, peer: owner },
  );
}
