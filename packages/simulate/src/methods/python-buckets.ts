import type { RankMetas } from '@checkpoint-engine/meta';
import { alignUp, DEFAULT_ALIGN_BYTES } from '@checkpoint-engine/planner';
import type { ClusterTopology } from '../cluster/topology.ts';
import { rankMetas, type SizedTensor } from '../model/world-metas.ts';

/** A bucket of the Python tool. */
export interface PythonBucket {
  readonly ownerRank: number;
  readonly sizeBytes: number;
  readonly tensorCount: number;
}

/**
 * Shares of the Python tool's update script: each rank takes the same number of tensors, in the order of the index
 * file, so shares differ in bytes.
 *
 * @source https://github.com/MoonshotAI/checkpoint-engine `examples/update.py`
 */
export function pythonShares(
  tensors: readonly SizedTensor[],
  worldSize: number,
  topology: ClusterTopology,
): RankMetas[] {
  const perRank = Math.ceil(tensors.length / worldSize);
  return Array.from({ length: worldSize }, (_, rank) =>
    rankMetas(tensors.slice(rank * perRank, (rank + 1) * perRank), rank, topology),
  );
}

/**
 * Buckets of the Python tool: each owner fills buckets in the order of its tensors, and begins a new one when the next
 * tensor does not fit.
 *
 * @source https://github.com/MoonshotAI/checkpoint-engine `checkpoint_engine/ps.py`
 */
export function pythonBuckets(metas: readonly RankMetas[], bucketBytes: number): PythonBucket[] {
  return metas.flatMap(({ rank, tensors }) => {
    const buckets: PythonBucket[] = [];
    let [sizeBytes, tensorCount] = [0, 0];
    const close = (): void => {
      if (tensorCount > 0) buckets.push({ ownerRank: rank, sizeBytes, tensorCount });
      [sizeBytes, tensorCount] = [0, 0];
    };
    for (const tensor of tensors) {
      const alignedBytes = alignUp(tensor.sizeBytes, DEFAULT_ALIGN_BYTES);
      if (sizeBytes + alignedBytes > bucketBytes) close();
      sizeBytes += alignedBytes;
      tensorCount += 1;
    }
    close();
    return buckets;
  });
}
