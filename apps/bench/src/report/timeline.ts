import type { ProgressEvent } from '@checkpoint-engine/ps';
import type { StageSpan, Timeline } from './result.ts';

/** Creates a timeline of the events of one update, rank by rank. Omits unfinished activities. */
export function timelineOf(label: string, ranks: readonly (readonly ProgressEvent[])[]): Timeline {
  const startMs = ranks
    .flat()
    .reduce((least, event) => (isBucket(event) ? Math.min(least, event.atMs) : least), Infinity);
  return {
    label,
    ranks: ranks.map((events, index) => ({ rank: events[0]?.rank ?? index, spans: spansOf(events, startMs) })),
  };
}

type BucketEvent = Extract<ProgressEvent, { readonly bucket: number }>;

const isBucket = (event: ProgressEvent): event is BucketEvent =>
  event.type === 'bucket-start' || event.type === 'bucket-end';

function spansOf(events: readonly ProgressEvent[], startMs: number): StageSpan[] {
  const open = new Map<string, number>();
  const spans: StageSpan[] = [];
  for (const event of events) {
    if (!isBucket(event)) continue;
    const { stage, bucket, atMs, sizeBytes } = event;
    const key = `${stage} ${bucket}`;
    if (event.type === 'bucket-start') open.set(key, atMs);
    else if (open.has(key))
      spans.push([stage, bucket, round(open.get(key)! - startMs), round(atMs - startMs), sizeBytes]);
  }
  return spans;
}

/** Microseconds are enough, and keep the files small. */
const round = (ms: number): number => Math.round(ms * 1000) / 1000;
