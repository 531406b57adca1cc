import type { Logger, MemoryRange, Stream } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import type { Bucket } from '@checkpoint-engine/planner';
import type { ProgressEvent, Stage } from '../progress-event.ts';

/** The source of this rank's buckets during one update: the host pool, a remote pool, or files. */
export interface BucketSource {
  /** The stages of a bucket as events show them: the last is the load; earlier ones run ahead. @default `h2d` */
  stagesOf?(bucket: Bucket): readonly Stage[];
  /** Resolves when the bucket can be loaded. Called in the order of the buckets, without empty ones. */
  ready(bucket: Bucket): Promise<void>;
  /** Copies the bytes of a ready bucket to device memory. Resolves when they are there. Calls may overlap. */
  load(bucket: Bucket, target: MemoryRange): Promise<void>;
  /** Stops work that runs ahead and releases all resources. No load is in progress then. Idempotent. */
  close(): Promise<void>;
}

/** The options for opening a source. */
export interface SourceOptions {
  /** The rank of this process. */
  readonly metas: RankMetas;
  /** The buckets of this rank, in the order of their requests. */
  readonly buckets: readonly Bucket[];
  /** The bucket size of the plan. */
  readonly alignBytes: number;
  /** The stream for copies to the device. */
  readonly stream: Stream;
  /** Fires when the update has failed. */
  readonly signal: AbortSignal;
  readonly emit: (event: ProgressEvent) => void;
  /** Whether to report completed reads into this rank's memory. @default false */
  readonly reportsReads?: boolean | undefined;
  /** Whether to compare the bytes with those that were read before. @default false */
  readonly verifies?: boolean | undefined;
  readonly logger: Logger;
}

/** The stages of a bucket as events show them. */
export function stagesOf(source: BucketSource, bucket: Bucket): readonly Stage[] {
  return source.stagesOf?.(bucket) ?? ['h2d'];
}

/** The stage of a bucket's load, after all work that runs ahead. */
export function loadStageOf(source: BucketSource, bucket: Bucket): Stage {
  return stagesOf(source, bucket).at(-1)!;
}
