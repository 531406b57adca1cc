import type { BenchCheckpoint, CheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
import type { DeviceFloors } from '../floors/device-floors.ts';
import type { GlooFigures, LinkFloors } from '../floors/link-floors.ts';
import type { PublishOptions } from '../report/publish.ts';
import type { UpdateVariant } from '../world/rank.ts';
import type { WorldOptions } from '../world/receivers.ts';
import type { VariantFigures } from './measure-variant.ts';
import type { PythonToolFigures } from './python-tool.ts';

/** The options of `bench update`. */
export interface UpdateScenarioOptions extends CheckpointOptions, WorldOptions, PublishOptions {
  readonly updates: number;
  readonly warmups: number;
  readonly registers: number;
  /** The variants, one per bucket size. */
  readonly variants: readonly UpdateVariant[];
  readonly watchMemory: boolean;
  /** Whether to run the Python tool against the same engines. */
  readonly peer: boolean;
  /** Its bucket sizes. */
  readonly peerBucketGiB: readonly number[];
  /** Whether to measure the links with torch and NCCL. */
  readonly linkFloors: boolean;
  /** Whether to keep the timeline of each variant's last update. */
  readonly timelines: boolean;
  /** A file for a trace of the last update, for https://ui.perfetto.dev. */
  readonly trace?: string | undefined;
}

/** Raw measurements, before they become a result. */
export interface UpdateFigures {
  readonly checkpoint: BenchCheckpoint;
  readonly floors: DeviceFloors;
  readonly links: LinkFloors | undefined;
  /** Figures of gloo, for comparison with the host device. */
  readonly gloo?: GlooFigures | undefined;
  /**
   * Updates of one small tensor: they show the receiver's own fixed time, and the cost of a bucket without its bytes.
   */
  readonly fixedMs: readonly number[];
  readonly registerMs: readonly number[];
  readonly poolBytes: number;
  readonly gatherMs: readonly number[];
  readonly variants: readonly VariantFigures[];
  readonly python:
    | { readonly ranks: readonly PythonToolFigures[]; readonly checked: number; readonly wrong: number }
    | undefined;
}
