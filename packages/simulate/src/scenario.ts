import type { TensorSpec } from '@checkpoint-engine/meta';
import type { ParallelLayout } from '@checkpoint-engine/planner';
import type { ClusterTopology } from './cluster/topology.ts';

/**
 * The method that moves the bytes to the engines.
 *
 * - `broadcast`: every rank receives every bucket; for engines with the worker of the Python tool.
 * - `pull`: each GPU copies what it keeps from host memory; hosts read data of other hosts once. Needs our receiver.
 * - `p2p`: some ranks read buckets from the memory of their owners, and broadcast them among themselves.
 * - `python-broadcast`, `python-p2p`: the Python tool 0.2 and later.
 * - `python-p2p-first`: the Python tool 0.1, where one rank reads for all.
 */
export type MethodName = (typeof METHOD_NAMES)[number];

/** Names of the methods on a command line. */
export const METHOD_NAMES = ['broadcast', 'pull', 'p2p', 'python-broadcast', 'python-p2p', 'python-p2p-first'] as const;

/** Location of the bytes at the start of the update: host memory, files of each host, or a shared file system. */
export type SourceName = (typeof SOURCE_NAMES)[number];

/** Names of the sources on a command line. */
export const SOURCE_NAMES = ['memory', 'files', 'shared-files'] as const;

/** The update to simulate. */
export interface Scenario {
  readonly topology: ClusterTopology;
  readonly model: {
    readonly title: string;
    /** Every tensor, in reading order. */
    readonly tensors: readonly TensorSpec[];
  };
  readonly method: MethodName;
  /** Ranks that hold the checkpoint; one rank per GPU, from the first host on. */
  readonly worldSize: number;
  readonly layout: ParallelLayout;
  /** @default 'memory' */
  readonly source?: SourceName | undefined;
  /**
   * New ranks that join, on hosts after those of the world; only they receive. Needs the method `pull` or `p2p`.
   * @default none
   */
  readonly joining?: number | undefined;
  /** Ranks that receive by `python-p2p` and `python-p2p-first`, from rank 0 on. @default 16, at most the world */
  readonly receivers?: number | undefined;
  /** Size of a bucket, or of a chunk of the pull. @default what an update chooses; 8 GiB for the Python tool */
  readonly bucketBytes?: number | undefined;
  /**
   * The first update of a process: it allocates memory and creates communicators, and sizes buckets without having
   * measured its workers. Does not apply to the Python tool.
   * @default false
   */
  readonly isFirstUpdate?: boolean | undefined;
  /** Maximum device memory of an update. Does not apply to the Python tool. @default what an update chooses */
  readonly deviceMemoryBytes?: number | undefined;
}
