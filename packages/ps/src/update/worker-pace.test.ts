import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ProgressEvent } from '../progress-event.ts';
import { dearest, WorkerPace } from './worker-pace.ts';

/** An update whose buckets have these numbers of tensors and took these times. */
function update(pace: WorkerPace, buckets: readonly { tensors: number; ms: number }[]): void {
  const following = pace.follow((bucket) => buckets[bucket]!.tensors);
  let atMs = 1000;
  for (const [bucket, { ms }] of buckets.entries()) {
    const event = { rank: 0, stage: 'reload', bucket, sizeBytes: 1 } as const;
    following.observe({ type: 'bucket-start', ...event, stage: 'h2d', atMs } as ProgressEvent);
    following.observe({ type: 'bucket-start', ...event, atMs } as ProgressEvent);
    atMs += ms;
    following.observe({ type: 'bucket-end', ...event, atMs } as ProgressEvent);
  }
  following.end();
}

describe('WorkerPace', () => {
  it('separates the cost of a bucket from the cost of a tensor', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 20, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 6, maxLength: 40 }),
        (bucketMs, tensorMs, counts) => {
          fc.pre(new Set(counts.slice(1)).size > 1);
          const pace = new WorkerPace();
          update(
            pace,
            counts.map((tensors) => ({ tensors, ms: bucketMs + tensors * tensorMs })),
          );
          expect(pace.cost!.bucketMs).toBeCloseTo(bucketMs, 3);
          expect(pace.cost!.tensorMs).toBeCloseTo(tensorMs, 3);
        },
      ),
    );
  });

  it('never returns a negative cost, for any measurements', () => {
    const sample = fc.record({ tensors: fc.nat(500), ms: fc.double({ min: 0, max: 100, noNaN: true }) });
    fc.assert(
      fc.property(fc.array(sample, { minLength: 5, maxLength: 30 }), (samples) => {
        const pace = new WorkerPace();
        update(pace, samples);
        expect(pace.cost!.bucketMs).toBeGreaterThanOrEqual(-1e-6);
        expect(pace.cost!.tensorMs).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it('ignores the first bucket, and keeps its values if an update has too few buckets', () => {
    const pace = new WorkerPace();
    update(pace, [{ tensors: 3, ms: 900 }, ...Array.from({ length: 6 }, () => ({ tensors: 3, ms: 4 }))]);
    expect(pace.cost).toEqual({ bucketMs: 4, tensorMs: 0 });
    update(pace, [
      { tensors: 3, ms: 900 },
      { tensors: 3, ms: 900 },
    ]);
    expect(pace.cost).toEqual({ bucketMs: 4, tensorMs: 0 });
  });
});

describe('dearest', () => {
  it('takes the maximum of each part, and ignores ranks without values', () => {
    expect(dearest([null, { bucketMs: 1, tensorMs: 2 }, undefined, { bucketMs: 3, tensorMs: 0 }])).toEqual({
      bucketMs: 3,
      tensorMs: 2,
    });
    expect(dearest([null, undefined])).toBeUndefined();
  });
});
