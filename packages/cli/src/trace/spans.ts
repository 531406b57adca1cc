import type { ProgressEvent, UpdatePhase } from '@checkpoint-engine/ps';

/** A time span on one row of a rank. */
export interface Span {
  readonly rank: number;
  readonly row: Row;
  readonly name: string;
  /** Number of the bucket or pull. */
  readonly index?: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly sizeBytes?: number;
}

/** A row of a rank: its phases, or one stage. */
export type Row = (typeof ROWS)[number];

/** In the order of display. */
export const ROWS = ['phases', 'read', 'h2d', 'broadcast', 'reload', 'pull'] as const;

/** Pairs the events of updates into spans. Leaves out spans without an end. */
export function spansOf(events: readonly ProgressEvent[]): Span[] {
  const spans: Span[] = [];
  const buckets = new Map<string, number>();
  const phases = new Map<number, { phase: UpdatePhase; atMs: number }>();
  const reads = new Map<number, { startMs: number; endMs: number; sizeBytes: number }>();
  const endRead = (rank: number): void => {
    const read = reads.get(rank);
    if (read && read.endMs > read.startMs) spans.push({ rank, row: 'read', name: 'read files', ...read });
    reads.delete(rank);
  };
  for (const event of events) {
    const { rank, type, atMs } = event;
    if (type === 'phase') {
      endRead(rank);
      const before = phases.get(rank);
      if (before && before.phase !== 'done') {
        spans.push({ rank, row: 'phases', name: before.phase, startMs: before.atMs, endMs: atMs });
      }
      phases.set(rank, { phase: event.phase, atMs });
    } else if (type === 'register') {
      const startMs = reads.get(rank)?.startMs ?? atMs;
      reads.set(rank, { startMs, endMs: atMs, sizeBytes: event.doneBytes });
    } else if (type === 'bucket-start') {
      buckets.set(bucketKey(event), atMs);
    } else if (type === 'bucket-end') {
      const startMs = buckets.get(bucketKey(event));
      if (startMs === undefined) continue;
      buckets.delete(bucketKey(event));
      const { stage, bucket, sizeBytes } = event;
      spans.push({
        rank,
        row: stage,
        name: `${stage === 'pull' ? 'pull' : 'bucket'} ${bucket}`,
        index: bucket,
        startMs,
        endMs: atMs,
        sizeBytes,
      });
    }
  }
  for (const rank of [...reads.keys()]) endRead(rank);
  return spans;
}

function bucketKey({ rank, stage, bucket }: Extract<ProgressEvent, { type: 'bucket-start' | 'bucket-end' }>): string {
  return `${rank}:${stage}:${bucket}`;
}
