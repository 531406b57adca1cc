import type { Needs } from '@checkpoint-engine/interface';
import type { ClusterLinks } from '../cluster/links.ts';
import type { ClusterTopology } from '../cluster/topology.ts';
import type { TaskList } from '../engine/task.ts';

/** Device and host memory of an update. Bytes. */
export interface MemoryUse {
  /** Buffers of the update on the rank that needs most. */
  readonly deviceBytes: number;
  /** Parameters that the engine of that rank keeps. */
  readonly keptBytes: number;
  /** Checkpoint and rings in the memory of the host that needs most. */
  readonly hostBytes: number;
}

/** A plan in figures. */
export interface PlanFigures {
  readonly buckets: number;
  readonly bucketBytes: number;
  readonly chunks: number;
  /** Explains the sizes; empty if there is nothing to explain. */
  readonly reason: string;
}

/** A bucket of a plan. */
export interface BucketFigures {
  readonly sizeBytes: number;
  readonly tensorCount: number;
}

/** The plan of a method. It is independent of rates and costs, so it can run on several clusters of the same shape. */
export interface PlannedMethod {
  readonly figures: PlanFigures;
  readonly memory: MemoryUse;
  /** Buckets in the order in which they are sent; empty for a pull. */
  readonly buckets: readonly BucketFigures[];
  /** Ranks whose steps the timeline shows. */
  readonly shownRanks: readonly number[];
  readonly warnings: readonly string[];
  /** Adds the steps of the update. */
  build(list: TaskList, links: ClusterLinks, topology: ClusterTopology): void;
}

/** Bytes of all boxes. */
export function keptBytes({ rows, rowBytes }: Pick<Needs, 'rows' | 'rowBytes'>): number {
  return rows.reduce((sum, count, at) => sum + count * rowBytes[at]!, 0);
}
