import type { ProgressEvent, Stage } from '@checkpoint-engine/ps';
import { describe, expect, it } from 'vitest';
import { traceEvents } from './trace-events.ts';

const bucket = (rank: number, stage: Stage, index: number, startMs: number, endMs: number): ProgressEvent[] => [
  { type: 'bucket-start', rank, stage, bucket: index, sizeBytes: 1e6, atMs: startMs },
  { type: 'bucket-end', rank, stage, bucket: index, sizeBytes: 1e6, atMs: endMs },
];
const spans = (events: readonly ProgressEvent[]) => traceEvents(events).filter(({ ph }) => ph === 'X');

describe('traceEvents', () => {
  it('creates a span per bucket and stage, in microseconds from the first one', () => {
    const events = [...bucket(0, 'h2d', 0, 1000, 1002), ...bucket(1, 'reload', 3, 1001.5, 1003)];
    expect(spans(events)).toMatchObject([
      { name: 'bucket 0', pid: 0, cat: 'h2d', ts: 0, dur: 2000, args: { sizeBytes: 1e6, rateGBps: 0.5 } },
      { name: 'bucket 3', pid: 1, cat: 'reload', ts: 1500, dur: 1500 },
    ]);
  });

  it('names ranks and rows', () => {
    const names = traceEvents(bucket(4, 'h2d', 0, 0, 1)).filter(({ ph }) => ph === 'M');
    expect(names).toContainEqual(expect.objectContaining({ name: 'process_name', pid: 4, args: { name: 'rank 4' } }));
    expect(names).toContainEqual(expect.objectContaining({ name: 'thread_name', args: { name: 'h2d' } }));
  });

  it('puts overlapping buckets on separate tracks, and reuses a free track', () => {
    const events = [
      ...bucket(0, 'reload', 0, 0, 10),
      ...bucket(0, 'reload', 1, 5, 15),
      ...bucket(0, 'reload', 2, 10, 20),
    ];
    const [first, second, third] = spans(events);
    expect(second?.tid).toBe(first!.tid + 1);
    expect(third?.tid).toBe(first!.tid);
  });

  it('creates a span per phase, except for the last one', () => {
    const phase = (name: 'plan' | 'stream' | 'done', atMs: number): ProgressEvent => ({
      type: 'phase',
      phase: name,
      atMs,
      rank: 0,
    });
    const events = [phase('plan', 0), phase('stream', 1), phase('done', 4), phase('plan', 9), phase('done', 10)];
    expect(spans(events).map(({ name, ts, dur }) => [name, ts, dur])).toEqual([
      ['plan', 0, 1000],
      ['stream', 1000, 3000],
      ['plan', 9000, 1000],
    ]);
  });

  it('creates one span per read, which ends when the update begins', () => {
    const read = (doneBytes: number, atMs: number): ProgressEvent => ({
      type: 'register',
      rank: 0,
      doneBytes,
      totalBytes: 100,
      atMs,
    });
    const plan: ProgressEvent = { type: 'phase', phase: 'plan', atMs: 60, rank: 0 };
    const events = [read(10, 0), read(50, 20), read(90, 50), plan, read(30, 100), read(90, 110)];
    expect(spans(events).map(({ name, ts, dur }) => [name, ts, dur])).toEqual([
      ['read files', 0, 50_000],
      ['read files', 100_000, 10_000],
    ]);
  });

  it('shows for each rank how the bytes arrived, and what its worker keeps', () => {
    const plan: ProgressEvent = {
      ...{ type: 'plan', rank: 2, bucketBytes: 0, bucketCount: 0, ringSlots: 0, stagingSlots: 0, deviceBytes: 0 },
      ...{ totalBytes: 4096, method: 'pull', methodReason: '', neededBytes: 1024, reason: '', atMs: 0 },
      stageBytes: { read: 0, h2d: 0, broadcast: 0, reload: 0, pull: 1024 },
    };
    expect(traceEvents([plan, ...bucket(2, 'pull', 0, 0, 1)])).toContainEqual({
      ...{ name: 'process_labels', ph: 'M', pid: 2, tid: 0 },
      args: { labels: 'pull: keeps 1 KiB of 4 KiB' },
    });
  });

  it('omits what did not end', () => {
    expect(traceEvents(bucket(0, 'h2d', 0, 0, 1).slice(0, 1))).toEqual([]);
  });
});
