import { formatBytes } from '@checkpoint-engine/planner';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import { ROWS, type Row, type Span, spansOf } from './spans.ts';

/** One entry of a Chrome trace. Times are in microseconds. */
export interface TraceEvent {
  readonly name: string;
  readonly ph: 'X' | 'M';
  /** The rank. */
  readonly pid: number;
  /** The track. */
  readonly tid: number;
  readonly cat?: string;
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, string | number>>;
}

/** The number of tracks that a row may need for overlapping spans. */
const LANES = 100;

/**
 * Converts the events of one or several updates to a trace in Chrome's JSON format, for Perfetto and
 * `chrome://tracing`: one process per rank, with one row for its phases and one per stage. Buckets that are in a stage
 * at the same time are shown below each other. Spans without an end are left out.
 *
 * @source https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 */
export function traceEvents(events: readonly ProgressEvent[]): TraceEvent[] {
  const spans = spansOf(events).sort((a, b) => a.startMs - b.startMs || b.endMs - a.endMs);
  const originMs = spans[0]?.startMs ?? 0;
  const lanes = new Map<string, number[]>();
  const tracks = new Map<string, TraceEvent>();
  const shown = spans.map((span): TraceEvent => {
    const { rank, row, name, startMs, endMs, sizeBytes } = span;
    const lane = freeLane(lanes, span);
    const tid = ROWS.indexOf(row) * LANES + lane;
    for (const event of trackNames(rank, row, tid, lane)) tracks.set(`${event.name}:${rank}:${event.tid}`, event);
    return {
      name,
      ph: 'X',
      pid: rank,
      tid,
      cat: row,
      ts: Math.round((startMs - originMs) * 1000),
      dur: Math.round((endMs - startMs) * 1000),
      ...(sizeBytes === undefined ? {} : { args: { sizeBytes, rateGBps: rate(sizeBytes, endMs - startMs) } }),
    };
  });
  return [...tracks.values(), ...labels(events), ...shown];
}

/**
 * Shown with the name of each rank: the method of the update, and the bytes of the checkpoint that its worker
 * keeps.
 */
function labels(events: readonly ProgressEvent[]): TraceEvent[] {
  const last = new Map<number, Extract<ProgressEvent, { type: 'plan' }>>();
  for (const event of events) if (event.type === 'plan') last.set(event.rank, event);
  return [...last].map(([rank, { method, neededBytes, totalBytes }]) => ({
    name: 'process_labels',
    ph: 'M',
    pid: rank,
    tid: 0,
    args: { labels: `${method}: keeps ${formatBytes(neededBytes)} of ${formatBytes(totalBytes)}` },
  }));
}

/** Returns the first lane of the span's row that is free at its start, and occupies it. */
function freeLane(lanes: Map<string, number[]>, { rank, row, startMs, endMs }: Span): number {
  const key = `${rank}:${row}`;
  const ends = lanes.get(key) ?? [];
  lanes.set(key, ends);
  const free = ends.findIndex((end) => end <= startMs);
  const lane = free === -1 ? ends.length : free;
  ends[lane] = endMs;
  return lane;
}

function trackNames(rank: number, row: Row, tid: number, lane: number): TraceEvent[] {
  return [
    { name: 'process_name', ph: 'M', pid: rank, tid: 0, args: { name: `rank ${rank}` } },
    { name: 'thread_name', ph: 'M', pid: rank, tid, args: { name: lane === 0 ? row : `${row} (${lane + 1})` } },
    { name: 'thread_sort_index', ph: 'M', pid: rank, tid, args: { sort_index: tid } },
  ];
}

function rate(sizeBytes: number, durationMs: number): number {
  return durationMs > 0 ? Number((sizeBytes / durationMs / 1e6).toFixed(3)) : 0;
}
