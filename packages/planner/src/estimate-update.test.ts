import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesTensor, poolOf } from '../test/support/metas.ts';
import { estimateUpdate } from './estimate-update.ts';
import type { Plan } from './plan.ts';
import { planBuckets } from './plan-buckets.ts';

const MB = 1e6;

/** A plan with the given numbers of ranks and of buckets of 1 MB per rank. */
function planOf(ranks: number, bucketsPerRank: number): Plan {
  const metas = Array.from({ length: ranks }, (_, rank) =>
    poolOf(
      rank,
      Array.from({ length: bucketsPerRank }, (_, i) => bytesTensor(`r${rank}.t${i}`, MB)),
    ),
  );
  return planBuckets(metas, { bucketBytes: MB });
}

describe('estimateUpdate', () => {
  it.each([
    // 1 MB at 1 GBps takes 1 ms. Filling: the first bucket passes the stages before the slowest one.
    {
      boundBy: 'h2d',
      rates: { h2dGBps: 0.1, broadcastGBps: 1, reloadGBps: 1 },
      h2dMs: 40,
      broadcastMs: 8,
      reloadMs: 8,
      totalMs: 43,
    },
    {
      boundBy: 'broadcast',
      rates: { h2dGBps: 1, broadcastGBps: 0.5, reloadGBps: 1 },
      h2dMs: 4,
      broadcastMs: 16,
      reloadMs: 8,
      totalMs: 18,
    },
    {
      boundBy: 'reload',
      rates: { h2dGBps: 1, broadcastGBps: 1, reloadGBps: 0.5, fixedMs: 90 },
      h2dMs: 4,
      broadcastMs: 8,
      reloadMs: 16,
      totalMs: 108,
    },
  ])('is bound by its slowest stage: $boundBy', ({ rates, ...expected }) => {
    const estimate = estimateUpdate(planOf(2, 4), rates, 2);
    expect(estimate.boundBy).toBe(expected.boundBy);
    for (const key of ['h2dMs', 'broadcastMs', 'reloadMs', 'totalMs'] as const) {
      expect(estimate[key]).toBeCloseTo(expected[key], 6);
    }
  });

  it('broadcasts nothing in a world of one rank', () => {
    const estimate = estimateUpdate(planOf(1, 4), { h2dGBps: 1, broadcastGBps: 0.001, reloadGBps: 1 }, 1);
    expect(estimate).toMatchObject({ broadcastMs: 0, totalMs: 5, boundBy: 'h2d' });
  });

  it('takes as long as its fixed part for an empty plan', () => {
    const rates = { h2dGBps: 1, broadcastGBps: 1, reloadGBps: 1, fixedMs: 7 };
    expect(estimateUpdate(planBuckets([], { bucketBytes: 1 }), rates, 2).totalMs).toBe(7);
  });

  it('is at least its slowest stage and at most all of them in turn', () => {
    const rate = fc.double({ min: 0.01, max: 1000, noNaN: true });
    const rates = fc.record({ h2dGBps: rate, broadcastGBps: rate, reloadGBps: rate });
    const count = fc.integer({ min: 1, max: 6 });
    fc.assert(
      fc.property(count, count, rates, (ranks, buckets, given) => {
        const { h2dMs, broadcastMs, reloadMs, totalMs } = estimateUpdate(planOf(ranks, buckets), given, ranks);
        expect(totalMs).toBeGreaterThanOrEqual(Math.max(h2dMs, broadcastMs, reloadMs) * (1 - 1e-9));
        expect(totalMs).toBeLessThanOrEqual((h2dMs + broadcastMs + reloadMs) * (1 + 1e-9));
      }),
    );
  });

  it.each([{ h2dGBps: 0 }, { broadcastGBps: -1 }, { reloadGBps: Number.NaN }, { fixedMs: -1 }])(
    'refuses %o',
    (change) => {
      const rates = { h2dGBps: 1, broadcastGBps: 1, reloadGBps: 1, ...change };
      expect(() => estimateUpdate(planOf(1, 1), rates, 1)).toThrow(RangeError);
    },
  );
});
