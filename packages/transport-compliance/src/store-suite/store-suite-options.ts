import type { Store } from '@checkpoint-engine/interface';
import type { Runner, Skip } from '../suite/runner.ts';

/** The stores of one world, in this process. */
export interface StoreWorld {
  /** The outermost scope of each rank, by rank. The suite closes them. */
  readonly stores: readonly Store[];
  /** Simulates the death of a rank's process for the others. Absent if the world does not support this. */
  lose?(rank: number): Promise<void>;
  /** Releases the resources that do not belong to a store, after all stores are closed. */
  close?(): Promise<void>;
}

/** Options of {@link storeSuite}. */
export interface StoreSuiteOptions {
  readonly runner: Runner;
  /** The store's name, for the suite's title. */
  readonly name: string;
  /** Opens a new world of this many ranks, for one test. */
  readonly open: (worldSize: number) => Promise<StoreWorld>;
  readonly skip?: readonly Skip[] | undefined;
  /** Number of ranks of a world, 1 and up. @default 3 */
  readonly maxRanks?: number | undefined;
  /** Whether the world's `lose` works. @default false */
  readonly canLose?: boolean | undefined;
  /** Time after which the suite treats a test as hanging. @default 30 s */
  readonly patienceMs?: number | undefined;
}

/** The arguments of a test. */
export interface StoreSubject {
  /** The store of each rank, by rank. */
  readonly stores: readonly Store[];
  readonly lose: (rank: number) => Promise<void>;
}
