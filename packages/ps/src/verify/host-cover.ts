import type { Needs } from '@checkpoint-engine/interface';
import { type BoxesByTensor, boxesByTensor, type CoverGroup, coverGroups } from './coverage.ts';
import { type KeptTensors, keptTensors, type ListedTensors } from './held-windows.ts';

/** What follows from the needs of a host's workers. It depends on names, shapes and needs only. */
export interface HostCover {
  readonly kept: KeptTensors;
  readonly boxes: BoxesByTensor;
  /** By tensor, the ranks whose slices are compared together. */
  readonly groups: ReadonlyMap<number, readonly CoverGroup[]>;
  /** Some group has several ranks, so that ranks have to tell each other the digests that their workers told. */
  readonly isShared: boolean;
}

const known = new WeakMap<object, HostCover>();

/**
 * Works out what the workers of a host keep.
 *
 * @param plan Of the host: the result is kept as long as it.
 */
export function hostCover(plan: object, needs: ReadonlyMap<number, Needs>, list: ListedTensors): HostCover {
  let cover = known.get(plan);
  if (cover === undefined) {
    cover = makeCover(needs, list);
    known.set(plan, cover);
  }
  return cover;
}

function makeCover(needs: ReadonlyMap<number, Needs>, list: ListedTensors): HostCover {
  const boxes = boxesByTensor(needs);
  const kept = keptTensors(boxes.keys(), list);
  const groups = new Map<number, readonly CoverGroup[]>();
  let isShared = false;
  for (const [at, tensor] of kept.tensor.entries()) {
    const found = coverGroups(boxes.get(tensor)!, kept.metas[at]!.sizeBytes).groups;
    isShared ||= found.some(({ ranks }) => ranks.length > 1);
    groups.set(tensor, found);
  }
  return { kept, boxes, groups, isShared };
}
