import type { ProgressEvent, Stage } from '@checkpoint-engine/ps';
import { describe, expect, it } from 'vitest';
import { reduceProgress, startProgress, worldPhase } from './progress-state.ts';
import { stageViews } from './stage-views.ts';

const after = (rankCount: number, events: readonly ProgressEvent[]) =>
  events.reduce(reduceProgress, startProgress(rankCount));
type Bytes = Readonly<Record<Stage, number>>;
const NONE: Bytes = { read: 0, h2d: 0, broadcast: 0, reload: 0, pull: 0 };
/** Events for a checkpoint of 200 bytes. */
const plan = (rank: number, stageBytes: Partial<Bytes>): ProgressEvent => ({
  ...{ type: 'plan', rank, bucketBytes: 100, bucketCount: 2, ringSlots: 3, stagingSlots: 0, deviceBytes: 300 },
  ...{ totalBytes: 200, stageBytes: { ...NONE, ...stageBytes }, reason: '', atMs: 0 },
  ...{ method: 'buckets', methodReason: '', neededBytes: 200 },
});
const bucket = (
  type: 'bucket-start' | 'bucket-end',
  stage: Stage,
  rank: number,
  atMs: number,
  sizeBytes = 100,
): ProgressEvent => ({
  type,
  stage,
  rank,
  bucket: 0,
  sizeBytes,
  atMs,
});

describe('worldPhase', () => {
  it('is the phase of the slowest rank', () => {
    const events: ProgressEvent[] = [
      { type: 'phase', phase: 'stream', atMs: 1, rank: 0 },
      { type: 'phase', phase: 'handshake', atMs: 1, rank: 1 },
    ];
    expect(worldPhase(after(2, events))).toBe('handshake');
  });

  it('is the first phase while a rank has reported nothing', () => {
    expect(worldPhase(after(2, [{ type: 'phase', phase: 'done', atMs: 1, rank: 0 }]))).toBe('register');
  });
});

describe('stageViews', () => {
  it('adds up the reads of ranks', () => {
    const events: ProgressEvent[] = [
      { type: 'register', rank: 0, doneBytes: 10, totalBytes: 100, atMs: 0 },
      { type: 'register', rank: 1, doneBytes: 40, totalBytes: 60, atMs: 50 },
      { type: 'register', rank: 0, doneBytes: 50, totalBytes: 100, atMs: 100 },
    ];
    expect(stageViews(after(2, events))).toMatchObject([{ stage: 'read', doneBytes: 90, totalBytes: 160 }]);
  });

  it('counts reads during the update, and subtracts them from the registration', () => {
    const events: ProgressEvent[] = [
      { type: 'register', rank: 0, doneBytes: 10, totalBytes: 100, atMs: 0 },
      plan(0, { read: 200, h2d: 200, reload: 200 }),
      bucket('bucket-end', 'read', 0, 10),
      bucket('bucket-end', 'h2d', 0, 20, 50),
    ];
    expect(stageViews(after(1, events))).toMatchObject([
      { stage: 'read', doneBytes: 100, totalBytes: 200 },
      { stage: 'h2d', doneBytes: 50, totalBytes: 200 },
    ]);
  });

  it('counts a copy once if it is broadcast, and a broadcast and a reload when all ranks have it', () => {
    const bytes = { broadcast: 200, reload: 200 };
    const events = [
      plan(0, { ...bytes, h2d: 150 }),
      plan(1, { ...bytes, h2d: 50 }),
      bucket('bucket-end', 'h2d', 0, 10),
      bucket('bucket-end', 'broadcast', 0, 20),
      bucket('bucket-end', 'broadcast', 1, 20),
      bucket('bucket-end', 'reload', 1, 30),
    ];
    expect(stageViews(after(2, events))).toMatchObject([
      { stage: 'h2d', doneBytes: 100, totalBytes: 200 },
      { stage: 'broadcast', doneBytes: 100, totalBytes: 200 },
      { stage: 'reload', doneBytes: 50, totalBytes: 200 },
    ]);
  });

  it('counts what each rank reads for itself when all ranks have it', () => {
    const events = [0, 1, 2].flatMap((rank) => [plan(rank, { read: 200, reload: 200 })]);
    const reads = [0, 1, 2].map((rank) => bucket('bucket-end', 'read', rank, 10));
    expect(stageViews(after(3, [...events, ...reads]))).toMatchObject([
      { stage: 'read', doneBytes: 100, totalBytes: 200 },
    ]);
    expect(stageViews(after(3, [...events, reads[0]!]))[0]?.doneBytes).toBeCloseTo(100 / 3);
  });

  it('depends on the ranks that receive, not on other ranks that send or are read from', () => {
    const events = [
      plan(0, { h2d: 200, broadcast: 200 }),
      plan(1, { broadcast: 200, reload: 200 }),
      bucket('bucket-end', 'broadcast', 0, 20, 200),
      bucket('bucket-end', 'broadcast', 1, 20, 200),
      bucket('bucket-end', 'reload', 1, 30, 200),
    ];
    expect(stageViews(after(4, events))).toMatchObject([
      { stage: 'broadcast', doneBytes: 200, totalBytes: 200 },
      { stage: 'reload', doneBytes: 200, totalBytes: 200 },
    ]);
  });

  it('starts again with another update, and keeps reads that were reported before the plan', () => {
    const phase = { type: 'phase', phase: 'plan', rank: 0, atMs: 40 } as const;
    const events = [
      plan(0, { h2d: 200, reload: 200 }),
      bucket('bucket-end', 'h2d', 0, 10, 200),
      bucket('bucket-end', 'reload', 0, 20, 200),
      phase,
      bucket('bucket-end', 'read', 0, 50, 100),
      plan(0, { read: 200, reload: 200 }),
    ];
    expect(stageViews(after(1, events))).toMatchObject([{ stage: 'read', doneBytes: 100, totalBytes: 200 }]);
  });

  it('shows rate and remaining time once they are meaningful', () => {
    const events = [
      plan(0, { reload: 200 }),
      bucket('bucket-start', 'reload', 0, 0),
      bucket('bucket-end', 'reload', 0, 100, 50),
    ];
    const [view] = stageViews(after(1, events));
    expect(view?.rateGBps).toBeCloseTo(50 / 100 / 1e6);
    expect(view?.leftMs).toBeCloseTo(300);
    expect(stageViews(after(1, events.slice(0, 2)))[0]).not.toHaveProperty('rateGBps');
  });

  it('does not exceed the total when workers load more than once', () => {
    const events = [plan(0, { h2d: 200 }), bucket('bucket-end', 'h2d', 0, 10, 260)];
    expect(stageViews(after(1, events))[0]?.doneBytes).toBe(200);
  });
});
