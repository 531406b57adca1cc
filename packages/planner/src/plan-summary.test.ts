import { describe, expect, it } from 'vitest';
import { bytesTensor, poolOf } from '../test/support/metas.ts';
import { planBuckets } from './plan-buckets.ts';
import { planSummary } from './plan-summary.ts';

const owner = (rank: number, ...sizes: number[]) =>
  poolOf(
    rank,
    sizes.map((sizeBytes, i) => bytesTensor(`r${rank}.t${i}`, sizeBytes)),
  );

describe('planSummary', () => {
  it('sums up owners, bucket sizes and alignment', () => {
    const metas = [owner(2, 512, 100, 100), owner(0), owner(1, 512)];
    const plan = planBuckets(metas, { bucketBytes: 512 });
    expect(planSummary(plan, metas)).toEqual({
      digest: plan.digest,
      totalBytes: 1224,
      tensorCount: 4,
      bucketCount: 3,
      bucketSizes: { minBytes: 356, medianBytes: 512, maxBytes: 512 },
      alignmentBytes: 156,
      imbalance: 712 / (1224 / 3),
      owners: [
        { rank: 0, host: 'h0', deviceUuid: 'HOST-0-0', sizeBytes: 0, tensorCount: 0, bucketCount: 0 },
        { rank: 1, host: 'h0', deviceUuid: 'HOST-0-1', sizeBytes: 512, tensorCount: 1, bucketCount: 1 },
        { rank: 2, host: 'h0', deviceUuid: 'HOST-0-2', sizeBytes: 712, tensorCount: 3, bucketCount: 2 },
      ],
    });
  });

  it('sums up a plan without buckets', () => {
    expect(planSummary(planBuckets([], { bucketBytes: 1 }), [])).toMatchObject({
      bucketCount: 0,
      bucketSizes: { minBytes: 0, medianBytes: 0, maxBytes: 0 },
      alignmentBytes: 0,
      imbalance: 1,
      owners: [],
    });
  });
});
