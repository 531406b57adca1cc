import type { Places, PullRegion } from '@checkpoint-engine/interface';
import type { HostTransfers } from '@checkpoint-engine/planner';

/** The regions and copies of the workers of one host. Equal on all ranks of the host. */
export interface HostPlan extends HostTransfers {
  /** Pools of the host's ranks. */
  readonly pools: readonly PullRegion[];
  /** Locations of tensors in the pools. */
  readonly places: Places;
  /** By tensor, the rank that reads it through a ring; -1 for tensors in the pools. */
  readonly ownerOf: Int32Array;
  /** Digest of everything except the rings' handles. */
  readonly digest: string;
}
