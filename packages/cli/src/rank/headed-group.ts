import type { EngineTargets } from '../config/requests.ts';

/**
 * Returns the inference group whose engine this rank asks: that of which it is the first rank that receives.
 *
 * @param ranks The ranks that receive. @default all
 */
export function headedGroup(
  rank: number,
  { parallelSize = Number.POSITIVE_INFINITY }: Pick<EngineTargets, 'parallelSize'>,
  ranks: readonly number[] | undefined,
): number | undefined {
  const groupOf = (other: number): number => Math.floor(other / parallelSize);
  const group = groupOf(rank);
  const isHead = ranks
    ? rank === Math.min(...ranks.filter((other) => groupOf(other) === group))
    : rank % parallelSize === 0;
  return isHead ? group : undefined;
}
