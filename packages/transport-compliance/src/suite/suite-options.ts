import type { Factory, Kind, World } from '../world/world.ts';
import type { Runner, Skip } from './runner.ts';

/** Options of a compliance suite. */
export interface SuiteOptions<K extends Kind> {
  readonly runner: Runner;
  /** The transport's name, for the suite's title. */
  readonly name: string;
  /** Makes a member's device and transport. */
  readonly factory: Factory<K>;
  /** Where members live: {@link inProcess} or {@link processes}. */
  readonly world: World;
  readonly skip?: readonly Skip[] | undefined;
  /** Ranks of the largest group, 1 and up; smaller groups are tested too. @default 4 */
  readonly maxRanks?: number | undefined;
  /** Size of the largest message. @default 32 MiB + 5 */
  readonly bigBytes?: number | undefined;
  /** Tests ranges beyond 4 GiB, which takes 4 GiB of memory a member. @default false */
  readonly largeMemory?: boolean | undefined;
  /** How long a single operation may take before the suite calls it a hang. @default 30 s */
  readonly patienceMs?: number | undefined;
  /** How soon peers have to learn of a lost member or of a mismatch. @default 10 s */
  readonly lossMs?: number | undefined;
  /** How soon an abort has to reach every member. @default 2 s */
  readonly abortMs?: number | undefined;
}
