import type { RankMetas } from '@checkpoint-engine/meta';
import { affinityOf } from './affinity.ts';
import { affinityKey } from './affinity-key.ts';
import { alignUp, DEFAULT_ALIGN_BYTES } from './align.ts';

/** Tensors that travel together. */
export interface TensorGroup {
  /** The common part of their names. */
  readonly key: string;
  readonly tensorCount: number;
  /** Bytes of the tensors, including the alignment between them. */
  readonly sizeBytes: number;
}

/** Result of {@link measureMetas}. Sizes are in bytes; all are 0 if there are no tensors. */
export interface MetasMeasure {
  readonly totalBytes: number;
  readonly tensorCount: number;
  readonly largestTensorBytes: number;
  /** The largest group of tensors that a loader needs in one call: the smallest size that a bucket must hold. */
  readonly largestGroup: TensorGroup;
}

/** Measures the sizes that determine the bucket size. */
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
