import type { CriticalStep } from './engine/critical-path.ts';
import type { LinkKind } from './engine/link.ts';
import type { StageName } from './engine/task.ts';
import type { MemoryUse, PlanFigures } from './methods/planned.ts';

/** A stage of the simulated update. */
export interface StageTime {
  readonly stage: StageName;
  /** From the first step of the stage to the end of the last one. Milliseconds from the start of the update. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Time in which at least one step of the stage runs. */
  readonly busyMs: number;
  /** Time of the stage on the critical path: if the stage took no time, the update would be shorter by at most this. */
  readonly criticalMs: number;
  readonly steps: number;
  readonly sizeBytes: number;
}

/** Use of one link, or of one direction of it. */
export interface LinkUse {
  readonly kind: LinkKind;
  readonly name: string;
  readonly sizeBytes: number;
  readonly rateGBps: number;
  /** Time in which at least one flow uses the link. */
  readonly busyMs: number;
  /** Bytes divided by the bytes that the link could carry during the update, 0 to 1. */
  readonly utilization: number;
}

/** A step of one rank, for a timeline. */
export interface RankStep {
  readonly rank: number;
  readonly stage: StageName;
  readonly index: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly sizeBytes: number;
}

/** Result of a simulation. Plain data. */
export interface SimulationResult {
  readonly title: string;
  readonly method: string;
  readonly cluster: string;
  readonly ranks: number;
  /** Ranks that receive. */
  readonly receivers: number;
  readonly totalMs: number;
  readonly totalBytes: number;
  readonly tensorCount: number;
  readonly plan: PlanFigures;
  readonly memory: MemoryUse;
  readonly stages: readonly StageTime[];
  /** Steps that delayed each other, from the start to the end. */
  readonly criticalPath: readonly CriticalStep[];
  /** One sentence. */
  readonly bottleneck: string;
  /** Links that carry bytes, by utilization. Hosts with the same work share the links of one of them. */
  readonly links: readonly LinkUse[];
  /** Steps of the ranks of one host. */
  readonly steps: readonly RankStep[];
  readonly warnings: readonly string[];
}
