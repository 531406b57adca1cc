import type { Store } from '@checkpoint-engine/interface';
import type { Runner, Skip } from '../suite/runner.ts';

/** The stores of one world, in this process. */
export interface StoreWorld {
  /** The outermost scope of each rank, by rank. The suite closes them. */
  readonly stores: readonly Store[];
  /** Makes the others lose a rank, as if its process had died. Absent where the world cannot. */
  lose?(rank: number): Promise<void>;
  /** Releases what belongs to no store, after all stores are closed. */
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
  /** Ranks of a world, 1 and up. @default 3 */
  readonly maxRanks?: number | undefined;
  /** The world's `lose` works. @default false */
  readonly canLose?: boolean | undefined;
  /** How long a test may take before the suite calls it a hang. @default 30 s */
  readonly patienceMs?: number | undefined;
}

/** What a test of the suite is given. */
export interface StoreSubject {
  /** By rank. */
  readonly stores: readonly Store[];
  readonly lose: (rank: number) => Promise<void>;
}
