import type { ParameterMeta } from '@checkpoint-engine/meta';

/** Every tensor starts at a multiple of this, in pools and in buckets: any dtype can be viewed there, and copies run at full speed. */
export const ALIGN_BYTES = 256;

/** What laying out needs to know of a tensor. */
export type TensorShape = Pick<ParameterMeta, 'name' | 'dtype' | 'shape' | 'sizeBytes'>;

/** Rounds up to the alignment. */
export const align = (bytes: number): number => Math.ceil(bytes / ALIGN_BYTES) * ALIGN_BYTES;

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
