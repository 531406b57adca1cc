import type { Factory, Kind, World } from '../world/world.ts';
import type { Runner, Skip } from './runner.ts';

/** Options of a compliance suite. */
export interface SuiteOptions<K extends Kind> {
  readonly runner: Runner;
  /** The transport's name, for the suite's title. */
  readonly name: string;
  /** Creates a member's device and transport. */
  readonly factory: Factory<K>;
  /** Runs the members: {@link inProcess} or {@link processes}. */
  readonly world: World;
  readonly skip?: readonly Skip[] | undefined;
  /** Ranks of the largest group, 1 and up; the suite tests smaller groups as well. @default 4 */
  readonly maxRanks?: number | undefined;
  /** Size of the largest message. @default 32 MiB + 5 */
  readonly bigBytes?: number | undefined;
  /** Whether to test ranges beyond 4 GiB, which takes 4 GiB of memory per member. @default false */
  readonly largeMemory?: boolean | undefined;
  /** Time after which the suite treats a single operation as hanging. @default 30 s */
  readonly patienceMs?: number | undefined;
  /** Time within which peers must learn of a lost member or of a mismatch. @default 10 s */
  readonly lossMs?: number | undefined;
  /** Time within which an abort must reach every member. @default 2 s */
  readonly abortMs?: number | undefined;
}
