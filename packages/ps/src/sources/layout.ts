import type { ParameterMeta } from '@checkpoint-engine/meta';
import { alignUp, DEFAULT_ALIGN_BYTES } from '@checkpoint-engine/planner';

/** The size of a tensor, for its layout. */
export type TensorShape = Pick<ParameterMeta, 'name' | 'dtype' | 'shape' | 'sizeBytes'>;

/** Rounds up to the alignment of tensors. */
export const align = (bytes: number): number => alignUp(bytes, DEFAULT_ALIGN_BYTES);

/**
 * Places tensors one after another in one region, with alignment.
 *
 * @returns Their metas in the same order, and the size of the region.
 */
export function layOut(tensors: readonly TensorShape[], region: number): { metas: ParameterMeta[]; sizeBytes: number } {
  let end = 0;
  const metas = tensors.map(({ name, dtype, shape, sizeBytes }) => {
    const offsetBytes = end;
    end = align(end + sizeBytes);
    return { name, dtype, shape, sizeBytes, region, offsetBytes };
  });
  return { metas, sizeBytes: end };
}
