import type { Places, PullRegion } from '@checkpoint-engine/interface';
import type { Placement, ReadChunk } from '@checkpoint-engine/planner';

/** A chunk, and where it passes through its reader's ring. */
export interface HostChunk extends ReadChunk {
  /** Position among all chunks of the host, those of the proof after the others. */
  readonly index: number;
  readonly place: Placement;
}

/** What workers of one host map and copy. Equal on all ranks of the host. */
export interface HostPlan {
  /** Pools of the host's ranks. */
  readonly pools: readonly PullRegion[];
  /** Where tensors are in the pools. */
  readonly places: Places;
  /** By tensor, the rank that brings it through a ring; -1 for those in the pools. */
  readonly ownerOf: Int32Array;
  /** What passes through rings, in the order in which it is read. */
  readonly chunks: readonly HostChunk[];
  /** The same, of what workers compare once they are loaded. */
  readonly proof: readonly HostChunk[];
  /** By rank that reads, the bytes of its ring. */
  readonly ringBytes: ReadonlyMap<number, number>;
  /** Of everything but the rings' handles. */
  readonly digest: string;
}
