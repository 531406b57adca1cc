import type { ProgressEvent, Stage } from '@checkpoint-engine/ps';

/** The overlap of the stages of one rank. */
export interface Overlap {
  /** From the first start to the last end. */
  readonly spanMs: number;
  /** Milliseconds in which each stage had a bucket. */
  readonly busyMs: Readonly<Partial<Record<Stage, number>>>;
  /** Milliseconds in which at least this many stages had a bucket: index 1 for one, 2 for two, and so on to 4. */
  readonly atLeastMs: readonly number[];
}

type BucketEvent = Extract<ProgressEvent, { stage: Stage }>;

/** Computes the overlap from the events of one rank's update. */
export function overlapOf(events: readonly ProgressEvent[]): Overlap {
  const changes = events
    .filter((event): event is BucketEvent => event.type === 'bucket-start' || event.type === 'bucket-end')
    .sort((a, b) => a.atMs - b.atMs);
  const open = new Map<Stage, number>();
  const busyMs: Partial<Record<Stage, number>> = {};
  const atLeastMs = [0, 0, 0, 0, 0];
  let lastMs = changes[0]?.atMs ?? 0;
  for (const { type, stage, atMs } of changes) {
    const elapsedMs = atMs - lastMs;
    const busy = [...open].filter(([, count]) => count > 0).map(([name]) => name);
    for (const name of busy) busyMs[name] = (busyMs[name] ?? 0) + elapsedMs;
    for (let count = 1; count <= busy.length && count < atLeastMs.length; count++) atLeastMs[count]! += elapsedMs;
    open.set(stage, (open.get(stage) ?? 0) + (type === 'bucket-start' ? 1 : -1));
    lastMs = atMs;
  }
  return { spanMs: lastMs - (changes[0]?.atMs ?? 0), busyMs, atLeastMs };
}
