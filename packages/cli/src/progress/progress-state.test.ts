import type { ProgressEvent } from '@checkpoint-engine/ps';
import { describe, expect, it } from 'vitest';
import { reduceProgress, startProgress, worldPhase } from './progress-state.ts';
import { stageViews } from './stage-views.ts';

const after = (rankCount: number, events: readonly ProgressEvent[]) =>
  events.reduce(reduceProgress, startProgress(rankCount));
const plan = (rank: number): ProgressEvent => ({
  type: 'plan',
  rank,
  bucketBytes: 100,
  bucketCount: 2,
  ringSlots: 3,
  stagingSlots: 0,
  deviceBytes: 300,
  totalBytes: 200,
  reason: '',
  atMs: 0,
});
const bucket = (
  type: 'bucket-start' | 'bucket-end',
  stage: 'read' | 'h2d' | 'broadcast' | 'reload',
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
  it('is the phase that the slowest rank is in', () => {
    const events: ProgressEvent[] = [
      { type: 'phase', phase: 'stream', atMs: 1, rank: 0 },
      { type: 'phase', phase: 'handshake', atMs: 1, rank: 1 },
    ];
    expect(worldPhase(after(2, events))).toBe('handshake');
  });

  it('is the first one while a rank has said nothing', () => {
    expect(worldPhase(after(2, [{ type: 'phase', phase: 'done', atMs: 1, rank: 0 }]))).toBe('register');
  });
});

describe('stageViews', () => {
  it('adds up what ranks read', () => {
    const events: ProgressEvent[] = [
      { type: 'register', rank: 0, doneBytes: 10, totalBytes: 100, atMs: 0 },
      { type: 'register', rank: 1, doneBytes: 40, totalBytes: 60, atMs: 50 },
      { type: 'register', rank: 0, doneBytes: 50, totalBytes: 100, atMs: 100 },
    ];
    expect(stageViews(after(2, events))).toMatchObject([{ stage: 'read', doneBytes: 90, totalBytes: 160 }]);
  });

  it('counts what is read during the update, where nothing was registered before', () => {
    const events = [plan(0), bucket('bucket-end', 'read', 0, 10), bucket('bucket-end', 'h2d', 0, 20, 50)];
    expect(stageViews(after(1, events))).toMatchObject([
      { stage: 'read', doneBytes: 100, totalBytes: 200 },
      { stage: 'h2d', doneBytes: 50 },
    ]);
  });

  it('counts a copy once, but a broadcast and a reload when all ranks have it', () => {
    const events = [
      plan(0),
      plan(1),
      bucket('bucket-end', 'h2d', 0, 10),
      bucket('bucket-end', 'broadcast', 0, 20),
      bucket('bucket-end', 'broadcast', 1, 20),
      bucket('bucket-end', 'reload', 1, 30),
    ];
    expect(stageViews(after(2, events))).toMatchObject([
      { stage: 'h2d', doneBytes: 100, totalBytes: 200 },
      { stage: 'broadcast', doneBytes: 100 },
      { stage: 'reload', doneBytes: 50 },
    ]);
  });

  it('gives rate and time left once they mean something', () => {
    const events = [plan(0), bucket('bucket-start', 'reload', 0, 0), bucket('bucket-end', 'reload', 0, 100, 50)];
    const [view] = stageViews(after(1, events));
    expect(view?.rateGBps).toBeCloseTo(50 / 100 / 1e6);
    expect(view?.leftMs).toBeCloseTo(300);
    expect(stageViews(after(1, events.slice(0, 2)))[0]).not.toHaveProperty('rateGBps');
  });

  it('does not go beyond the total for the alignment that buckets carry', () => {
    const events = [plan(0), bucket('bucket-end', 'h2d', 0, 10, 260)];
    expect(stageViews(after(1, events))[0]?.doneBytes).toBe(200);
  });
});
