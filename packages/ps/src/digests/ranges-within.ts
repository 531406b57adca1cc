import type { ParameterMeta } from '@checkpoint-engine/meta';
import type { TensorRange } from './digest-book.ts';

/**
 * Returns the ranges of tensors in a part of a pool.
 *
 * @param tensors Of the pool, ascending by offset. Their index in the book is their position here.
 */
export function rangesWithin(tensors: readonly ParameterMeta[], fromBytes: number, toBytes: number): TensorRange[] {
  const ranges: TensorRange[] = [];
  for (let tensor = firstEndingAfter(tensors, fromBytes); tensor < tensors.length; tensor++) {
    const { offsetBytes, sizeBytes } = tensors[tensor]!;
    if (offsetBytes >= toBytes) break;
    const from = Math.max(offsetBytes, fromBytes);
    const to = Math.min(offsetBytes + sizeBytes, toBytes);
    if (from >= to) continue;
    ranges.push({ tensor, positionBytes: from - offsetBytes, offsetBytes: from, sizeBytes: to - from });
  }
  return ranges;
}

function firstEndingAfter(tensors: readonly ParameterMeta[], bytes: number): number {
  let low = 0;
  let high = tensors.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { offsetBytes, sizeBytes } = tensors[middle]!;
    if (offsetBytes + sizeBytes <= bytes) low = middle + 1;
    else high = middle;
  }
  return low;
}
