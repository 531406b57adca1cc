import type { ParameterMeta } from '@checkpoint-engine/meta';
import { alignUp, DEFAULT_ALIGN_BYTES } from '@checkpoint-engine/planner';

/** What laying out needs to know of a tensor. */
export type TensorShape = Pick<ParameterMeta, 'name' | 'dtype' | 'shape' | 'sizeBytes'>;

/** Rounds up to the alignment of tensors. */
export const align = (bytes: number): number => alignUp(bytes, DEFAULT_ALIGN_BYTES);

/**
 * Places tensors one after another in one region, aligned.
 *
 * @returns Their metas in the same order, and the bytes that the region needs.
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
