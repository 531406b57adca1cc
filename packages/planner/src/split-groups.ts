import type { RankMetas } from '@checkpoint-engine/meta';
import { affinityOf } from './affinity.ts';
import { affinityKey, isModuleWeight, keyOfModuleWeight } from './affinity-key.ts';

/**
 * Returns the keys of groups (see {@link affinityKey}) whose tensors several ranks hold. A bucket has one owner, so the
 * tensors of such a group reach a loader in several calls. Ranks that share a checkpoint's files have no such groups.
 */
export function splitGroups(metasByRank: readonly RankMetas[]): string[] {
  const split = new Set<string>();
  /**
   * The owner of each group that does not begin with the weight of a module; usually few, because pools keep groups
   * together.
   */
  const owners = new Map<string, number>();
  let hasModules = false;
  for (const { rank, tensors } of metasByRank) {
    const { order, starts } = affinityOf(tensors);
    for (const [at, starting] of starts.entries()) {
      const { name } = tensors[order?.[at] ?? at]!;
      if (starting === 0 || isModuleWeight(name)) continue;
      const key = affinityKey(name);
      hasModules ||= name.startsWith(`${key}.`);
      if ((owners.get(key) ?? rank) !== rank) split.add(key);
      owners.set(key, rank);
    }
  }
  if (!hasModules) return [...split];
  for (const { rank, tensors } of metasByRank) {
    for (const { name } of tensors) {
      if (!isModuleWeight(name)) continue;
      const key = keyOfModuleWeight(name);
      if ((owners.get(key) ?? rank) !== rank) split.add(key);
    }
  }
  return [...split];
}
