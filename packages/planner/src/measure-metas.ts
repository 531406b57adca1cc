import type { RankMetas } from '@checkpoint-engine/meta';
import { affinityOf } from './affinity.ts';
import { affinityKey } from './affinity-key.ts';
import { alignUp, DEFAULT_ALIGN_BYTES } from './align.ts';

/** Tensors that travel together. */
export interface TensorGroup {
  /** What their names have in common. */
  readonly key: string;
  readonly tensorCount: number;
  /** With alignment between them. */
  readonly sizeBytes: number;
}

/** What {@link measureMetas} finds. Sizes in bytes; all 0 where there are no tensors. */
export interface MetasMeasure {
  readonly totalBytes: number;
  readonly tensorCount: number;
  readonly largestTensorBytes: number;
  /** Tensors that a loader needs in one call: the least that a bucket has to hold. */
  readonly largestGroup: TensorGroup;
}

/** Finds the sizes that buckets depend on. */
export function measureMetas(metas: readonly RankMetas[]): MetasMeasure {
  let totalBytes = 0;
  let tensorCount = 0;
  let largestTensorBytes = 0;
  let largestGroup: TensorGroup = { key: '', tensorCount: 0, sizeBytes: 0 };
  for (const { tensors } of metas) {
    const { order, starts } = affinityOf(tensors);
    tensorCount += tensors.length;
    let first = 0;
    let groupBytes = 0;
    for (let at = 0; at < tensors.length; at++) {
      const { name, sizeBytes } = tensors[order === undefined ? at : order[at]!]!;
      if (starts[at] === 1) {
        first = at;
        groupBytes = 0;
      }
      groupBytes = alignUp(groupBytes, DEFAULT_ALIGN_BYTES) + sizeBytes;
      totalBytes += sizeBytes;
      if (sizeBytes > largestTensorBytes) largestTensorBytes = sizeBytes;
      if (groupBytes > largestGroup.sizeBytes) {
        largestGroup = { key: affinityKey(name), tensorCount: at + 1 - first, sizeBytes: groupBytes };
      }
    }
  }
  return { totalBytes, tensorCount, largestTensorBytes, largestGroup };
}
