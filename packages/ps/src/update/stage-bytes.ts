import type { Bucket, Transfer } from '@checkpoint-engine/planner';
import type { Stage } from '../progress-event.ts';
import { type BucketSource, stagesOf } from '../sources/bucket-source.ts';

/** The inputs of {@link stageBytes}. */
export interface StageBytesInput {
  readonly transfers: readonly Transfer[];
  /** The buckets that this rank sends to the others. */
  readonly ownBuckets: readonly Bucket[];
  /** The source of these buckets. */
  readonly source: BucketSource;
  /** Whether there is a group that broadcasts. */
  readonly broadcasts: boolean;
  /** Whether this rank has a worker that receives. */
  readonly receives: boolean;
}

/** Bytes that one rank moves through each stage. */
export function stageBytes(input: StageBytesInput): Record<Stage, number> {
  const { transfers, ownBuckets, source, broadcasts, receives } = input;
  const allBytes = transfers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const bytes = { read: 0, h2d: 0, broadcast: broadcasts ? allBytes : 0, reload: receives ? allBytes : 0, pull: 0 };
  for (const bucket of ownBuckets) for (const stage of stagesOf(source, bucket)) bytes[stage] += bucket.sizeBytes;
  return bytes;
}
