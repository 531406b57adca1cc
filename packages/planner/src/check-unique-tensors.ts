import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';

/**
 * Checks that every tensor has one owner. Apart from {@link planBuckets} because it costs more than planning does:
 * call it once when metas were gathered or loaded.
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
      ? `Tensor "${tensor}" is there twice on rank ${rank}, wanted once`
      : `Tensor "${tensor}" is there on rank ${owner} and on rank ${rank}, wanted one owner`,
    'Register each tensor on one rank only: give ranks disjoint files or tensors',
    { tensor, rank, peer: owner },
  );
}
