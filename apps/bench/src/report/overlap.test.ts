import type { ProgressEvent, Stage } from '@checkpoint-engine/ps';
import { describe, expect, it } from 'vitest';
import { overlapOf } from './overlap.ts';

const step = (stage: Stage, bucket: number, fromMs: number, toMs: number): ProgressEvent[] => [
  { type: 'bucket-start', rank: 0, stage, bucket, sizeBytes: 1, atMs: fromMs },
  { type: 'bucket-end', rank: 0, stage, bucket, sizeBytes: 1, atMs: toMs },
];

describe('overlapOf', () => {
  it('counts the time in which one, two and three stages run', () => {
    const events = [...step('h2d', 2, 0, 30), ...step('broadcast', 1, 10, 30), ...step('reload', 0, 20, 40)];
    expect(overlapOf(events)).toEqual({
      spanMs: 40,
      busyMs: { h2d: 30, broadcast: 20, reload: 20 },
      atLeastMs: [0, 40, 20, 10, 0],
    });
  });

  it('counts buckets of one stage once', () => {
    expect(overlapOf([...step('h2d', 0, 0, 10), ...step('h2d', 1, 5, 20)]).busyMs).toEqual({ h2d: 20 });
  });

  it('is zero without events', () => {
    expect(overlapOf([]).spanMs).toBe(0);
  });
});
