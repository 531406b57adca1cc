import type { Transfer } from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';
import type { BucketMessage } from '../session.ts';
import { tensorList } from './tensor-list.ts';

/**
 * Builds the messages for workers, each when its transfer is due.
 *
 * @param metas The metas from which the transfers were planned.
 * @param only  Tensors to describe to the worker. @default all
 */
export function describeBuckets(
  metas: WorldMetas,
  only?: ReadonlySet<string>,
): (transfer: Transfer, ringOffsetBytes: number) => BucketMessage {
  const list = tensorList(metas);
  return ({ index, tensor, offsetBytes }, ringOffsetBytes) => {
    const tensors = Array.from(tensor, (position, at) => {
      const { name, dtype, shape, sizeBytes } = list.metas[position]!;
      return { name, dtype, shape, sizeBytes, offsetBytes: ringOffsetBytes + offsetBytes[at]! };
    });
    return { index, tensors: tensors.filter(({ name }) => only?.has(name) ?? true) };
  };
}
