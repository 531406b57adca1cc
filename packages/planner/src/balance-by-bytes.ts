import { checkNotNegative, checkPositiveInteger } from './check-argument.ts';

/**
 * Says which rank owns each tensor: every rank gets about the same bytes, as one contiguous run of the input.
 *
 * The input is laid end to end and cut into `worldSize` equal lengths; a tensor goes to the rank whose length holds
 * the tensor's middle. So files are read sequentially, tensors are never split, and no rank owns more than the mean
 * plus the largest tensor: a run reaches over each of its two ends by at most half a tensor. Ranks may stay without
 * tensors where there are few of them. Equal input gives equal output, everywhere.
 *
 * @param tensors   In the order in which they are read. Sizes in bytes, 0 included.
 * @param worldSize Number of ranks.
 * @returns The owner of each tensor, in input order; never descending.
 * @throws {RangeError} `worldSize` is no positive integer, or a size is negative.
 * @example
 * ```ts
 * balanceByBytes([{ sizeBytes: 4 }, { sizeBytes: 2 }, { sizeBytes: 2 }], 2); // [0, 1, 1]
 * ```
 */
export function balanceByBytes(tensors: readonly { readonly sizeBytes: number }[], worldSize: number): number[] {
  checkPositiveInteger('worldSize', worldSize);
  let totalBytes = 0;
  for (const { sizeBytes } of tensors) {
    checkNotNegative('sizeBytes', sizeBytes);
    totalBytes += sizeBytes;
  }
  if (totalBytes === 0) return tensors.map(() => 0);
  let startBytes = 0;
  return tensors.map(({ sizeBytes }) => {
    const middleBytes = startBytes + sizeBytes / 2;
    startBytes += sizeBytes;
    // Only an empty tensor at the very end has its middle at the total.
    return Math.min(worldSize - 1, Math.floor((middleBytes * worldSize) / totalBytes));
  });
}
