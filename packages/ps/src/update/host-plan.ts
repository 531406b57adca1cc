import type { Places, PullRegion } from '@checkpoint-engine/interface';
import type { Placement, Transfer } from '@checkpoint-engine/planner';

/**
 * A transfer, and its place in its reader's ring. The index counts all transfers of the host; those of the proof come
 * after the others.
 */
export interface HostChunk extends Transfer {
  readonly place: Placement;
}

/** The regions and copies of the workers of one host. Equal on all ranks of the host. */
export interface HostPlan {
  /** Pools of the host's ranks. */
  readonly pools: readonly PullRegion[];
  /** Locations of tensors in the pools. */
  readonly places: Places;
  /** By tensor, the rank that reads it through a ring; -1 for tensors in the pools. */
  readonly ownerOf: Int32Array;
  /** The chunks that pass through rings, in the order of their reads. */
  readonly chunks: readonly HostChunk[];
  /** The same for the tensors that workers compare once they are loaded. */
  readonly proof: readonly HostChunk[];
  /** By reading rank, the size of its ring. */
  readonly ringBytes: ReadonlyMap<number, number>;
  /** Digest of everything except the rings' handles. */
  readonly digest: string;
}
