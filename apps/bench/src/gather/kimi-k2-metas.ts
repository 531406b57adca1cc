import { type RankMetas, tensorBytes } from '@checkpoint-engine/meta';
import { modelOf } from '@checkpoint-engine/model-tensors';
import { alignUp, balanceByBytes, DEFAULT_ALIGN_BYTES } from '@checkpoint-engine/planner';

/** The metas of Kimi-K2 in FP8 for a world of this many ranks, as after registration of its files. */
export function kimiK2Metas(worldSize: number, checkpoint: string): RankMetas[] {
  const tensors = modelOf('kimi-k2')
    .tensors()
    .map((tensor) => ({ ...tensor, sizeBytes: tensorBytes(tensor.dtype, tensor.shape) }));
  const world = Array.from({ length: worldSize }, (_, rank) => ({
    checkpoint,
    rank,
    host: `node-${rank >> 3}`,
    deviceUuid: `GPU-${String(rank).padStart(8, '0')}-5a1e-4c0d-9b3f-${String(rank * 7919).padStart(12, '0')}`,
    nics: [`10.0.${rank >> 3}.${rank % 8}`],
    regions: [{ sizeBytes: 0 }],
    tensors: [] as RankMetas['tensors'][number][],
  }));
  for (const [index, rank] of balanceByBytes(tensors, worldSize).entries()) {
    const { name, dtype, shape, sizeBytes } = tensors[index]!;
    const { regions, tensors: own } = world[rank]!;
    const offsetBytes = alignUp(regions[0]!.sizeBytes, DEFAULT_ALIGN_BYTES);
    own.push({ name, dtype, shape, sizeBytes, region: 0, offsetBytes });
    regions[0]!.sizeBytes = offsetBytes + sizeBytes;
  }
  return world;
}
