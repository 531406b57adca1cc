import { groupsOf } from './affinity.ts';
import { checkNotNegative, checkPositiveInteger } from './check-argument.ts';

/** A tensor that {@link balanceByBytes} assigns. */
export interface SharedTensor {
  readonly sizeBytes: number;
  /** With names, tensors that a loader needs in one call get the same owner. @default each tensor by itself */
  readonly name?: string | undefined;
}

/**
 * Decides which rank owns each tensor: every rank gets about the same bytes, and a group of tensors that a loader needs
 * in one call (see {@link affinityKey}) has one owner.
 *
 * The function lays the groups end to end, each at the place of its first tensor, and cuts the total into `worldSize`
 * equal lengths; a group goes to the rank whose length holds its middle. So ranks read files almost sequentially, and
 * no rank owns more than the mean plus the largest group: a share exceeds each of its two ends by at most half a group.
 * If there are few tensors, some ranks may get none. Equal input gives equal output in every runtime.
 *
 * @param tensors   In reading order. Sizes are in bytes and may be 0. Either all tensors have names or none.
 * @param worldSize Number of ranks.
 * @returns The owner of each tensor, in input order; never descending from one group to the next.
 * @throws {RangeError} `worldSize` is not a positive integer, or a size is negative.
 * @example
 * ```ts
 * balanceByBytes([{ sizeBytes: 4 }, { sizeBytes: 2 }, { sizeBytes: 2 }], 2); // [0, 1, 1]
 * ```
 */
export function balanceByBytes(tensors: readonly SharedTensor[], worldSize: number): number[] {
  checkPositiveInteger('worldSize', worldSize);
  let totalBytes = 0;
  for (const { sizeBytes } of tensors) {
    checkNotNegative('sizeBytes', sizeBytes);
    totalBytes += sizeBytes;
  }
  const owners = tensors.map(() => 0);
  if (totalBytes === 0) return owners;
  let startBytes = 0;
  for (const group of unitsOf(tensors)) {
    const sizeBytes = group.reduce((sum, index) => sum + tensors[index]!.sizeBytes, 0);
    const middleBytes = startBytes + sizeBytes / 2;
    startBytes += sizeBytes;
    // Only an empty group at the very end has its middle at the total.
    const owner = Math.min(worldSize - 1, Math.floor((middleBytes * worldSize) / totalBytes));
    for (const index of group) owners[index] = owner;
  }
  return owners;
}

/** Returns the indices of the tensors of each group. */
function unitsOf(tensors: readonly SharedTensor[]): Iterable<readonly number[]> {
  const areNamed = (all: readonly SharedTensor[]): all is readonly (SharedTensor & { name: string })[] =>
    all.every(({ name }) => name !== undefined);
  return areNamed(tensors) ? groupsOf(tensors) : tensors.map((_, index) => [index]);
}
