import type { MachineDescription } from './machine.ts';

/** Version of the JSON that every scenario writes. */
export const RESULT_VERSION = 2;

/** What a scenario found: the one form of all of them, written as JSON and shown as tables and as a page. */
export interface BenchResult {
  readonly version: typeof RESULT_VERSION;
  /** Name of the scenario: `update`, `plan`, `soak`. */
  readonly scenario: string;
  /** One sentence with the most important figure, for a reader who reads nothing else. */
  readonly title: string;
  readonly machine: MachineDescription;
  /** What it was asked: the options by name. */
  readonly options: Readonly<Record<string, string | number | boolean>>;
  readonly rows: readonly ResultRow[];
  /** What was aimed at. A missed target fails the run only where it is required: a wrong byte always does. */
  readonly targets: readonly Target[];
  /** Who held memory: each at its own peak. */
  readonly memory?: readonly MemoryHolder[] | undefined;
  /** Where the time went, of one update each. */
  readonly timelines?: readonly Timeline[] | undefined;
  /** What a reader has to know to read the figures right. */
  readonly notes?: readonly string[] | undefined;
}

/** One measured thing. Only what was measured is there. */
export interface ResultRow {
  /**
   * Who did it: `checkpoint-engine`, `Python tool, as shipped`, `Python tool, group kept`, `safetensors`, ...; rows of
   * floors begin with `floor: `.
   */
  readonly by: string;
  /** What was done: `register`, `gather`, `update`, `update p2p`, `startup`, `plan`, ... */
  readonly what: string;
  /** `Qwen3-8B`, or `Kimi-K2 scaled to 16 GiB`. */
  readonly model?: string | undefined;
  readonly ranks?: number | undefined;
  readonly bucketBytes?: number | undefined;
  /** What else tells this row from its siblings: `{ 'bucket-size': '64 MiB' }`. */
  readonly settings?: Readonly<Record<string, string | number | boolean>> | undefined;
  /** Each repetition that counts, as the slowest rank saw it. Warm-ups are in `warmupMs`. */
  readonly samplesMs: readonly number[];
  readonly warmupMs?: readonly number[] | undefined;
  /** Bytes that every receiver has afterwards: the rate is these over the median. */
  readonly sizeBytes?: number | undefined;
  /** Least time that the machine allows for it, from a floor measured in the same run. */
  readonly floorMs?: number | undefined;
  /** Parts of the last repetition. */
  readonly phasesMs?: Readonly<Record<string, number>> | undefined;
  /** Device memory that it took on the GPU that needed most, as it says itself. */
  readonly deviceBytes?: number | undefined;
  /** The same as the driver saw it: most used while it ran, less what was used before. */
  readonly driverBytes?: number | undefined;
  /** Most host memory of a rank. */
  readonly hostBytes?: number | undefined;
  /** Bytes that crossed the network. */
  readonly wireBytes?: number | undefined;
  /** Further figures, units in the names: `{ perTensorUs: 3.1 }`. */
  readonly figures?: Readonly<Record<string, number>> | undefined;
  /** How many things (tensors in all receivers, mostly) were compared, and how many were not as they should be. */
  readonly checked?: number | undefined;
  readonly wrong?: number | undefined;
  readonly note?: string | undefined;
}

/** A figure that was aimed at. */
export interface Target {
  /** `update <= 1.15 x floor`. */
  readonly what: string;
  readonly measured: number;
  readonly atMost?: number | undefined;
  readonly atLeast?: number | undefined;
  /** `ms`, `x`, `GiB`, `us`. */
  readonly unit: string;
  /** Missing it fails the run: it depends on no other work of the machine. @default false */
  readonly isRequired?: boolean | undefined;
}

/** A process, or memory that processes share, and what it holds. */
export interface MemoryHolder {
  readonly who: string;
  readonly sizeBytes: number;
  /** What is known of it: bytes by name. */
  readonly parts: Readonly<Record<string, number>>;
  readonly unexplainedBytes: number;
}

/** The stages of one update at every rank. Times are milliseconds from the first span's start. */
export interface Timeline {
  readonly label: string;
  readonly ranks: readonly RankTimeline[];
}

/** What one rank did when. */
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

/** Wrong things of all rows. */
export function wrongCount(result: BenchResult): number {
  return result.rows.reduce((sum, row) => sum + (row.wrong ?? 0), 0);
}
