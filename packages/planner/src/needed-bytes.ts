import type { Needs } from '@checkpoint-engine/interface';

/** Bytes that a rank keeps: those of its boxes, and those of its whole tensors. */
export function neededBytes(needs: Needs, sizesBytes: ArrayLike<number>): number {
  let bytes = boxBytes(needs);
  for (const tensor of needs.rest) bytes += sizesBytes[tensor]!;
  return bytes;
}

/** Bytes of the boxes alone. */
export function boxBytes({ rows, rowBytes }: Pick<Needs, 'rows' | 'rowBytes'>): number {
  let bytes = 0;
  for (let at = 0; at < rows.length; at++) bytes += rows[at]! * rowBytes[at]!;
  return bytes;
}
