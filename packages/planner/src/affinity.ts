import type { ParameterMeta } from '@checkpoint-engine/meta';
import { affinityKey, isModuleWeight, keyOfModuleWeight } from './affinity-key.ts';

type Named = Pick<ParameterMeta, 'name'>;

/** The tensors of a list in group order. */
export interface Affinity {
  /** Indices of the tensors, group by group; absent if the list is in that order already. */
  readonly order?: Int32Array | undefined;
  /** 1 at each position of that order where a group begins, else 0. */
  readonly starts: Uint8Array;
}

const known = new WeakMap<readonly Named[], Affinity>();

/**
 * Finds the groups of tensors that must stay together (see {@link affinityKey}). Groups come in the order of their
 * first tensors, and tensors keep their order within a group.
 *
 * The result is cached per list, so callers must not change lists of metas.
 */
export function affinityOf(tensors: readonly Named[]): Affinity {
  let affinity = known.get(tensors);
  if (affinity === undefined) {
    affinity = grouped(tensors) ?? group(tensors);
    known.set(tensors, affinity);
  }
  return affinity;
}

/**
 * Puts tensors into the order in which a pool should hold them: group by group, with each module's weight before its
 * companions. Groups come in the order of their first tensors. Then a bucket is one range of the pool.
 */
export function orderByAffinity<T extends Named>(tensors: readonly T[]): T[] {
  const groups = groupsOf(tensors);
  return groups.flatMap((members) => {
    const weights = members.filter((index) => isModuleWeight(tensors[index]!.name));
    const sorted =
      weights.length === 0 ? members : [...weights, ...members.filter((index) => !weights.includes(index))];
    return sorted.map((index) => tensors[index]!);
  });
}

/**
 * The affinity of a list whose groups are contiguous, found without computing most keys; `undefined` if contiguity is
 * uncertain. Most tensors are either a module's weight, which begins a group without another weight, or follow such a
 * weight.
 */
function grouped(tensors: readonly Named[]): Affinity | undefined {
  const starts = new Uint8Array(tensors.length);
  /** Keys of the groups that do not begin with a module's weight. */
  const others = new Set<string>();
  let weight: string | undefined;
  let key: string | undefined;
  let hasLooseCompanions = false;
  for (let index = 0; index < tensors.length; index++) {
    const { name } = tensors[index]!;
    // `X.weight_scale` directly after `X.weight`.
    if (weight !== undefined && name.startsWith(weight) && name.indexOf('.', weight.length) === -1) continue;
    if (isModuleWeight(name)) {
      starts[index] = 1;
      weight = name;
      key = undefined;
      continue;
    }
    const own = affinityKey(name);
    key ??= weight && keyOfModuleWeight(weight);
    if (own === key) continue;
    starts[index] = 1;
    weight = undefined;
    key = own;
    if (others.size === others.add(own).size) return undefined;
    hasLooseCompanions ||= name !== own && !name.includes('att');
  }
  if (!hasLooseCompanions) return { starts };
  const isApart = tensors.some(({ name }) => isModuleWeight(name) && others.has(keyOfModuleWeight(name)));
  return isApart ? undefined : { starts };
}

function group(tensors: readonly Named[]): Affinity {
  const groups = groupsOf(tensors);
  const starts = new Uint8Array(tensors.length);
  const order = new Int32Array(tensors.length);
  let at = 0;
  let isInOrder = true;
  for (const members of groups) {
    starts[at] = 1;
    for (const index of members) {
      isInOrder &&= index === at;
      order[at++] = index;
    }
  }
  return isInOrder ? { starts } : { order, starts };
}

/** The indices of each group's tensors, ascending; groups in the order of their first tensors. */
export function groupsOf(tensors: readonly Named[]): number[][] {
  const groups = new Map<string, number[]>();
  for (const [index, { name }] of tensors.entries()) {
    const key = affinityKey(name);
    const members = groups.get(key);
    if (members === undefined) groups.set(key, [index]);
    else members.push(index);
  }
  return [...groups.values()];
}
