import type { Needs } from '@checkpoint-engine/interface';
import { type BoxesByTensor, boxesByTensor, type CoverGroup, coverGroups } from './coverage.ts';
import { type KeptTensors, keptTensors, type ListedTensors } from './held-windows.ts';

/** Derived from the needs of a host's workers. Depends only on names, shapes and needs. */
export interface HostCover {
  readonly kept: KeptTensors;
  readonly boxes: BoxesByTensor;
  /** By tensor, the ranks whose slices are compared together. */
  readonly groups: ReadonlyMap<number, readonly CoverGroup[]>;
  /** Whether a group has several ranks, so that ranks must exchange the digests of their workers. */
  readonly isShared: boolean;
}

const known = new WeakMap<object, HostCover>();

/**
 * Determines what the workers of a host keep.
 *
 * @param plan Plan of the host. The result is cached for its lifetime.
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
