import { type RankMetas, tensorBytes } from '@checkpoint-engine/meta';
import { modelOf } from '@checkpoint-engine/model-tensors';
import { balanceByBytes } from '@checkpoint-engine/planner';
import { poolOf, type TensorSpec } from './metas.ts';

/** The metas of Kimi-K2 in FP8, divided among `worldSize` owners. */
export function kimiK2Metas(worldSize: number): RankMetas[] {
  const tensors: TensorSpec[] = modelOf('kimi-k2')
    .tensors()
    .map((tensor) => ({ ...tensor, sizeBytes: tensorBytes(tensor.dtype, tensor.shape) }));
  const owned: TensorSpec[][] = Array.from({ length: worldSize }, () => []);
  for (const [index, rank] of balanceByBytes(tensors, worldSize).entries()) owned[rank]!.push(tensors[index]!);
  return owned.map((specs, rank) => poolOf(rank, specs));
}
