import type { MachineDescription } from './machine.ts';

/** Version of the JSON that every scenario writes. */
export const RESULT_VERSION = 2;

/** The result of any scenario, written as JSON and shown as tables and as a page. */
export interface BenchResult {
  readonly version: typeof RESULT_VERSION;
  /** Name of the scenario: `update`, `plan`, `soak`. */
  readonly scenario: string;
  /** One sentence with the most important figure. */
  readonly title: string;
  readonly machine: MachineDescription;
  /** The options by name. */
  readonly options: Readonly<Record<string, string | number | boolean>>;
  readonly rows: readonly ResultRow[];
  /** The targets. A missed target fails the run only if it is required; a wrong byte always does. */
  readonly targets: readonly Target[];
  /** Holders of memory, each at its own peak. */
  readonly memory?: readonly MemoryHolder[] | undefined;
  /** Timelines, each of one update. */
  readonly timelines?: readonly Timeline[] | undefined;
  /** Notes that readers need to interpret the figures. */
  readonly notes?: readonly string[] | undefined;
}

/** One measurement. Fields without a measurement are absent. */
export interface ResultRow {
  /**
   * The measured tool: `checkpoint-engine`, `Python tool, as shipped`, `Python tool, group kept`, `safetensors`, ...;
   * rows of floors begin with `floor: `.
   */
  readonly by: string;
  /** The measured operation: `register`, `gather`, `update`, `update p2p`, `startup`, `plan`, ... */
  readonly what: string;
  /** `Qwen3-8B`, or `Kimi-K2 scaled to 16 GiB`. */
  readonly model?: string | undefined;
  readonly ranks?: number | undefined;
  readonly bucketBytes?: number | undefined;
  /** Other properties that distinguish this row from similar ones: `{ 'bucket-size': '64 MiB' }`. */
  readonly settings?: Readonly<Record<string, string | number | boolean>> | undefined;
  /** The time of the slowest rank in each counted repetition. Warm-ups are in `warmupMs`. */
  readonly samplesMs: readonly number[];
  readonly warmupMs?: readonly number[] | undefined;
  /** Bytes that every receiver has afterwards. The rate is this size over the median. */
  readonly sizeBytes?: number | undefined;
  /** The minimum time on this machine, from a floor measured in the same run. */
  readonly floorMs?: number | undefined;
  /** Parts of the last repetition. */
  readonly phasesMs?: Readonly<Record<string, number>> | undefined;
  /** Device memory on the GPU that uses the most, as reported by the tool. */
  readonly deviceBytes?: number | undefined;
  /** The same as reported by the driver: peak during the run, minus the memory in use before. */
  readonly driverBytes?: number | undefined;
  /** Maximum host memory of a rank. */
  readonly hostBytes?: number | undefined;
  /** Bytes that crossed the network. */
  readonly wireBytes?: number | undefined;
  /** Further figures, units in the names: `{ perTensorUs: 3.1 }`. */
  readonly figures?: Readonly<Record<string, number>> | undefined;
  /** The number of comparisons (usually tensors in all receivers), and the number of differences. */
  readonly checked?: number | undefined;
  readonly wrong?: number | undefined;
  readonly note?: string | undefined;
}

/** A target for a figure. */
export interface Target {
  /** `update <= 1.15 x floor`. */
  readonly what: string;
  readonly measured: number;
  readonly atMost?: number | undefined;
  readonly atLeast?: number | undefined;
  /** `ms`, `x`, `GiB`, `us`. */
  readonly unit: string;
  /**
   * Whether the run fails if the target is missed. Only for figures that do not depend on other load. @default false
   */
  readonly isRequired?: boolean | undefined;
}

/** A process or shared memory, and its size. */
export interface MemoryHolder {
  readonly who: string;
  readonly sizeBytes: number;
  /** The known parts: bytes by name. */
  readonly parts: Readonly<Record<string, number>>;
  readonly unexplainedBytes: number;
}

/** The stages of one update at every rank. Times are milliseconds from the first span's start. */
export interface Timeline {
  readonly label: string;
  readonly ranks: readonly RankTimeline[];
}

/** The activities of one rank over time. */
export interface RankTimeline {
  readonly rank: number;
  readonly spans: readonly StageSpan[];
}

/** A bucket in a stage: stage, bucket, start, end, bytes. A tuple, since there are thousands. */
export type StageSpan = readonly [stage: string, bucket: number, fromMs: number, toMs: number, sizeBytes: number];

/** Whether the target was reached. */
export function isMet({ measured, atMost, atLeast }: Target): boolean {
  return !Number.isNaN(measured) && measured <= (atMost ?? Infinity) && measured >= (atLeast ?? -Infinity);
}

/** The number of differences in all rows. */
export function wrongCount(result: BenchResult): number {
  return result.rows.reduce((sum, row) => sum + (row.wrong ?? 0), 0);
}
