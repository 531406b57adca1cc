import { groupsOf } from './affinity.ts';
import { checkNotNegative, checkPositiveInteger } from './check-argument.ts';

/** What {@link balanceByBytes} shares out. */
export interface SharedTensor {
  readonly sizeBytes: number;
  /** Tensors that a loader needs in one call have the same owner: names tell which. @default each by itself */
  readonly name?: string | undefined;
}

/**
 * Says which rank owns each tensor: every rank gets about the same bytes, and a group of tensors that a loader needs in
 * one call (see {@link affinityKey}) has one owner.
 *
 * The groups are laid end to end, each where its first tensor comes, and cut into `worldSize` equal lengths; a group
 * goes to the rank whose length holds its middle. So files are read almost sequentially, and no rank owns more than the
 * mean plus the largest group: a share reaches over each of its two ends by at most half a group. Ranks may stay without
 * tensors where there are few of them. Equal input gives equal output, everywhere.
 *
 * @param tensors   In the order in which they are read. Sizes in bytes, 0 included. Names of all, or of none.
 * @param worldSize Number of ranks.
 * @returns The owner of each tensor, in input order; never descending from one group to the next.
 * @throws {RangeError} `worldSize` is no positive integer, or a size is negative.
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

/** The indices of what is owned together. */
function unitsOf(tensors: readonly SharedTensor[]): Iterable<readonly number[]> {
  const areNamed = (all: readonly SharedTensor[]): all is readonly (SharedTensor & { name: string })[] =>
    all.every(({ name }) => name !== undefined);
  return areNamed(tensors) ? groupsOf(tensors) : tensors.map((_, index) => [index]);
}
