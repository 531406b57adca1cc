import type { RankMetas } from '@checkpoint-engine/meta';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesTensor, type PoolOptions, poolOf } from '../test/support/metas.ts';
import { bucketLayout } from './bucket-layout.ts';
import type { Bucket } from './plan.ts';
import { planBuckets } from './plan-buckets.ts';

const pool = (sizes: readonly number[], options?: PoolOptions): RankMetas =>
  poolOf(
    0,
    sizes.map((sizeBytes, i) => bytesTensor(`t${i}`, sizeBytes)),
    options,
  );

/** The one bucket that holds the whole pool. */
const wholeBucket = (metas: RankMetas): Bucket => planBuckets([metas], { bucketBytes: 1e6 }).buckets[0]!;

const layout = (metas: RankMetas) => {
  const { tensors, copies } = bucketLayout(metas, wholeBucket(metas), 256);
  return {
    offsets: tensors.map(({ offsetBytes }) => offsetBytes),
    copies: copies.map((copy) => [copy.region, copy.offsetBytes, copy.bucketOffsetBytes, copy.sizeBytes]),
  };
};

describe('bucketLayout', () => {
  it.each([
    {
      what: 'one copy of an aligned pool',
      metas: pool([10, 300, 5]),
      offsets: [0, 256, 768],
      copies: [[0, 0, 0, 773]],
    },
    {
      what: 'one copy of a file with whole units',
      metas: pool([256, 512], { alignBytes: 8, startBytes: 72 }),
      offsets: [0, 256],
      copies: [[0, 72, 0, 768]],
    },
    {
      what: 'one copy per tensor of a packed pool',
      metas: pool([10, 300, 5], { alignBytes: 1 }),
      offsets: [0, 256, 768],
      copies: [
        [0, 0, 0, 10],
        [0, 10, 256, 300],
        [0, 310, 768, 5],
      ],
    },
    {
      what: 'one copy per region',
      metas: pool([256, 9, 256, 9], { tensorsPerRegion: 2 }),
      offsets: [0, 256, 512, 768],
      copies: [
        [0, 0, 0, 265],
        [1, 0, 512, 265],
      ],
    },
    {
      what: 'no copy of empty tensors',
      metas: pool([0, 7, 0, 8]),
      offsets: [0, 0, 256, 256],
      copies: [[0, 0, 0, 264]],
    },
    { what: 'nothing to copy', metas: pool([0, 0]), offsets: [0, 0], copies: [] },
  ])('gives $what', ({ metas, offsets, copies }) => {
    expect(layout(metas)).toEqual({ offsets, copies });
  });

  it('carries the properties of a tensor that workers receive', () => {
    const metas = poolOf(0, [{ name: 'scale', dtype: 'F32', shape: [], sizeBytes: 4 }]);
    expect(bucketLayout(metas, wholeBucket(metas), 256).tensors).toEqual([
      { name: 'scale', dtype: 'F32', shape: [], sizeBytes: 4, offsetBytes: 0 },
    ]);
  });

  it('moves every byte of every tensor to its place, and reads no byte outside of a region', () => {
    const options = fc.record({
      alignBytes: fc.constantFrom(1, 8, 256, 1024),
      startBytes: fc.constantFrom(0, 72, 256),
      tensorsPerRegion: fc.integer({ min: 1, max: 20 }),
    });
    const sizes = fc.array(fc.oneof(fc.nat(600), fc.constantFrom(0, 256)), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(sizes, options, fc.constantFrom(1, 16, 256), (given, poolOptions, alignBytes) => {
        const metas = pool(given, poolOptions);
        const plan = planBuckets([metas], { bucketBytes: 1024, alignBytes });
        for (const bucket of plan.buckets) {
          const { tensors, copies } = bucketLayout(metas, bucket, alignBytes);
          const source = metas.tensors.slice(bucket.firstTensor, bucket.firstTensor + bucket.tensorCount);
          // The source of each byte of the bucket.
          const origin = new Array<string>(bucket.sizeBytes).fill('');
          let filledBytes = 0;
          for (const { region, offsetBytes, bucketOffsetBytes, sizeBytes } of copies) {
            expect(bucketOffsetBytes).toBeGreaterThanOrEqual(filledBytes);
            filledBytes = bucketOffsetBytes + sizeBytes;
            expect(offsetBytes + sizeBytes).toBeLessThanOrEqual(metas.regions[region]!.sizeBytes);
            for (let i = 0; i < sizeBytes; i++) origin[bucketOffsetBytes + i] = `${region}:${offsetBytes + i}`;
          }
          expect(filledBytes).toBeLessThanOrEqual(bucket.sizeBytes);
          for (const [index, { name, offsetBytes, sizeBytes }] of tensors.entries()) {
            const from = source[index]!;
            expect([name, offsetBytes % alignBytes]).toEqual([from.name, 0]);
            const wanted = Array.from({ length: sizeBytes }, (_, i) => `${from.region}:${from.offsetBytes + i}`);
            expect(origin.slice(offsetBytes, offsetBytes + sizeBytes)).toEqual(wanted);
          }
        }
      }),
      { numRuns: 50 },
    );
  });

  it.each([
    { what: 'beyond the end of its region', change: { offsetBytes: 1 } },
    { what: 'before its start', change: { offsetBytes: -1 } },
    { what: 'in a missing region', change: { region: 1 } },
  ])('names a tensor that is $what', ({ change }) => {
    const metas = pool([8]);
    const wrong = { ...metas, tensors: [{ ...metas.tensors[0]!, ...change }] };
    expect(() => bucketLayout(wrong, wholeBucket(metas), 256)).toThrow(
      expect.objectContaining({ code: 'CE_METAS_INVALID', tensor: 't0', rank: 0 }),
    );
  });

  it('refuses the metas of another rank, or of fewer tensors', () => {
    const metas = pool([8, 8]);
    const bucket = wholeBucket(metas);
    expect(() => bucketLayout({ ...metas, rank: 1 }, bucket, 256)).toThrow(RangeError);
    expect(() => bucketLayout(pool([8]), bucket, 256)).toThrow(RangeError);
  });
});
