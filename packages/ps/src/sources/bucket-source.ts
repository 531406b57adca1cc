import type { Logger, MemoryRange, Stream } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import type { Bucket } from '@checkpoint-engine/planner';
import type { ProgressEvent, Stage } from '../api.ts';

/** Where the bytes of this rank's buckets come from during one update: the host pool, a remote pool, files. */
export interface BucketSource {
  /** What bringing this bucket is shown as: the last one is its load, what stands before is done ahead. @default `h2d` */
  stagesOf?(bucket: Bucket): readonly Stage[];
  /** Resolves when the bucket can be loaded. Asked in the order of the buckets; empty buckets are left out. */
  ready(bucket: Bucket): Promise<void>;
  /** Brings the bytes of a bucket that is ready into device memory. Resolves when they are there. Calls may overlap. */
  load(bucket: Bucket, target: MemoryRange): Promise<void>;
  /** Ends what the source does ahead and gives back what it took. No load is under way then. Idempotent. */
  close(): Promise<void>;
}

/** What a source is opened for. */
export interface SourceOptions {
  /** Of this rank. */
  readonly metas: RankMetas;
  /** Of this rank, in the order in which they will be asked for. */
  readonly buckets: readonly Bucket[];
  /** The plan's. */
  readonly alignBytes: number;
  /** For copies to the device. */
  readonly stream: Stream;
  /** Fires when the update has failed. */
  readonly signal: AbortSignal;
  readonly emit: (event: ProgressEvent) => void;
  /** Memory of this rank was still being filled when the update began. @default false */
  readonly wasFilling?: boolean | undefined;
  readonly logger: Logger;
}

/** What bringing a bucket is shown as. */
export function stagesOf(source: BucketSource, bucket: Bucket): readonly Stage[] {
  return source.stagesOf?.(bucket) ?? ['h2d'];
}

/** What loading a bucket is shown as, when all that is done ahead is done. */
export function loadStageOf(source: BucketSource, bucket: Bucket): Stage {
  return stagesOf(source, bucket).at(-1)!;
}
