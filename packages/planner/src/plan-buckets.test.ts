import type { RankMetas } from '@checkpoint-engine/meta';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kimiK2Metas } from '../test/support/kimi-k2.ts';
import { bytesTensor, poolOf } from '../test/support/metas.ts';
import { bucketLayout } from './bucket-layout.ts';
import { checkUniqueTensors } from './check-unique-tensors.ts';
import type { Plan } from './plan.ts';
import { planBuckets } from './plan-buckets.ts';
import { planSummary } from './plan-summary.ts';

/** A rank that owns tensors of these sizes. */
const owner = (rank: number, ...sizes: number[]): RankMetas =>
  poolOf(
    rank,
    sizes.map((sizeBytes, i) => bytesTensor(`r${rank}.t${i}`, sizeBytes)),
  );

const brief = ({ buckets }: Plan): number[][] =>
  buckets.map(({ ownerRank, firstTensor, tensorCount, sizeBytes }) => [ownerRank, firstTensor, tensorCount, sizeBytes]);

/** Metas of up to 6 ranks in any order, with gaps between ranks, empty ranks and empty tensors. */
const anyMetas = fc
  .uniqueArray(fc.record({ rank: fc.nat(9), sizes: fc.array(fc.nat(3000), { maxLength: 40 }) }), {
    selector: ({ rank }) => rank,
    maxLength: 6,
  })
  .map((owners) => owners.map(({ rank, sizes }) => owner(rank, ...sizes)));
const anyOptions = fc.record({
  bucketBytes: fc.integer({ min: 3000, max: 9000 }),
  fillBytes: fc.option(fc.integer({ min: 1, max: 9000 }), { nil: undefined }),
  alignBytes: fc.constantFrom(1, 16, 256, 512),
  maxTensorsPerBucket: fc.integer({ min: 1, max: 50 }),
});

describe('planBuckets', () => {
  it.each([
    {
      what: 'fills in pool order',
      sizes: [256, 256, 256],
      expected: [
        [0, 0, 2, 512],
        [0, 2, 1, 256],
      ],
    },
    {
      what: 'aligns each tensor',
      sizes: [1, 1, 1],
      expected: [
        [0, 0, 2, 257],
        [0, 2, 1, 1],
      ],
    },
    {
      what: 'fills to the last byte',
      sizes: [1, 256, 512],
      expected: [
        [0, 0, 2, 512],
        [0, 2, 1, 512],
      ],
    },
    { what: 'keeps empty tensors with their neighbors', sizes: [0, 512, 0], expected: [[0, 0, 3, 512]] },
    { what: 'has a bucket for empty tensors only', sizes: [0, 0], expected: [[0, 0, 2, 0]] },
    { what: 'has no bucket for an owner without tensors', sizes: [], expected: [] },
  ])('$what', ({ sizes, expected }) => {
    expect(brief(planBuckets([owner(0, ...sizes)], { bucketBytes: 512 }))).toEqual(expected);
  });

  it('closes a bucket at fillBytes, which only a larger tensor exceeds', () => {
    const plan = planBuckets([owner(0, 256, 1024, 256, 256, 256)], { bucketBytes: 1024, fillBytes: 512 });
    expect(brief(plan)).toEqual([
      [0, 0, 1, 256],
      [0, 1, 1, 1024],
      [0, 2, 2, 512],
      [0, 4, 1, 256],
    ]);
  });

  it('closes a bucket at maxTensorsPerBucket', () => {
    const plan = planBuckets([owner(0, 1, 0, 1, 1, 1)], { bucketBytes: 4096, maxTensorsPerBucket: 2 });
    expect(plan.buckets.map(({ tensorCount }) => tensorCount)).toEqual([2, 2, 1]);
  });

  it('lets owners of equal bytes take turns', () => {
    const metas = [2, 0, 1].map((rank) => owner(rank, 512, 512, 512));
    const ranks = planBuckets(metas, { bucketBytes: 512 }).buckets.map(({ ownerRank }) => ownerRank);
    expect(ranks).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2]);
  });

  it('lets an owner of more bytes start earlier and come more often', () => {
    const metas = [owner(0, 512), owner(1, 512, 512, 512, 512)];
    const ranks = planBuckets(metas, { bucketBytes: 512 }).buckets.map(({ ownerRank }) => ownerRank);
    expect(ranks).toEqual([1, 1, 0, 1, 1]);
  });

  it('counts bytes without alignment', () => {
    expect(planBuckets([owner(0, 1, 1), owner(4, 5)], { bucketBytes: 512 })).toMatchObject({
      totalBytes: 7,
      tensorCount: 3,
      alignBytes: 256,
      bucketBytes: 512,
    });
  });

  it('puts every tensor into exactly one bucket, none over its size, each filled while the next one fits', () => {
    fc.assert(
      fc.property(anyMetas, anyOptions, (metas, options) => {
        const plan = planBuckets(metas, options);
        expect(plan.buckets.map(({ index }) => index)).toEqual([...plan.buckets.keys()]);
        for (const { rank, tensors } of metas) {
          let next = 0;
          for (const bucket of plan.buckets.filter(({ ownerRank }) => ownerRank === rank)) {
            expect(bucket.firstTensor).toBe(next);
            expect(bucket.tensorCount).toBeGreaterThanOrEqual(1);
            expect(bucket.tensorCount).toBeLessThanOrEqual(options.maxTensorsPerBucket);
            expect(bucket.sizeBytes).toBeLessThanOrEqual(options.bucketBytes);
            const fill = options.fillBytes ?? options.bucketBytes;
            if (bucket.tensorCount > 1) expect(bucket.sizeBytes).toBeLessThanOrEqual(fill);
            next += bucket.tensorCount;
            const grown =
              Math.ceil(bucket.sizeBytes / options.alignBytes) * options.alignBytes + (tensors[next]?.sizeBytes ?? 0);
            if (next < tensors.length && bucket.tensorCount < options.maxTensorsPerBucket) {
              expect(grown).toBeGreaterThan(Math.min(fill, options.bucketBytes));
            }
          }
          expect(next).toBe(tensors.length);
        }
      }),
    );
  });

  it('has every owner at the same share of its bytes at every point, give or take half a bucket', () => {
    fc.assert(
      fc.property(anyMetas, (metas) => {
        const { buckets } = planBuckets(metas, { bucketBytes: 4096 });
        const total = new Map<number, number>();
        for (const { ownerRank, sizeBytes } of buckets) total.set(ownerRank, (total.get(ownerRank) ?? 0) + sizeBytes);
        const sent = new Map([...total.keys()].map((rank) => [rank, 0]));
        for (const { ownerRank, sizeBytes } of buckets) {
          const share = (sent.get(ownerRank)! + sizeBytes / 2) / (total.get(ownerRank)! || 1);
          sent.set(ownerRank, sent.get(ownerRank)! + sizeBytes);
          for (const [rank, bytes] of sent) {
            expect(Math.abs(bytes - share * total.get(rank)!)).toBeLessThanOrEqual(4096 / 2 + 1e-6);
          }
        }
      }),
    );
  });

  it('depends on the content of the metas, not on their order or identity', () => {
    fc.assert(
      fc.property(anyMetas, anyOptions, (metas, options) => {
        const plan = planBuckets(metas, options);
        expect(planBuckets(structuredClone(metas).reverse(), { ...options })).toEqual(plan);
        expect(planBuckets(JSON.parse(JSON.stringify(metas)), options)).toEqual(plan);
      }),
    );
  });

  it('does not change its input', () => {
    const metas = [owner(1, 512), owner(0, 512)];
    const before = structuredClone(metas);
    planBuckets(metas, { bucketBytes: 512 });
    expect(metas).toEqual(before);
  });

  it('computes another digest for another plan', () => {
    const metas = [owner(0, 512, 512), owner(1, 512)];
    const renamed = structuredClone(metas[1]!);
    Object.assign(renamed.tensors[0]!, { name: 'other' });
    const digests = [
      planBuckets(metas, { bucketBytes: 512 }),
      planBuckets(metas, { bucketBytes: 1024 }),
      planBuckets(metas, { bucketBytes: 512, alignBytes: 512 }),
      planBuckets([metas[0]!, renamed], { bucketBytes: 512 }),
      planBuckets([metas[0]!, owner(1, 511)], { bucketBytes: 512 }),
      planBuckets([metas[0]!, { ...metas[1]!, rank: 2 }], { bucketBytes: 512 }),
      planBuckets([], { bucketBytes: 512 }),
    ].map(({ digest }) => digest);
    expect(new Set(digests).size).toBe(digests.length);
    for (const digest of digests) expect(digest).toMatch(/^[0-9a-f]{16}$/);
  });

  it('computes the same digest in every runtime and version', () => {
    expect(planBuckets([owner(0, 512, 3), owner(1, 2 ** 33)], { bucketBytes: 2 ** 33 }).digest).toBe(
      'bf732f9870fdd562',
    );
  });

  it('names a tensor that is larger than a bucket', () => {
    expect(() => planBuckets([owner(3, 1, 513)], { bucketBytes: 512 })).toThrow(
      expect.objectContaining({ code: 'CE_PLAN_MEMORY_TOO_SMALL', tensor: 'r3.t1', rank: 3 }),
    );
  });

  it('names a rank that appears twice', () => {
    expect(() => planBuckets([owner(1, 1), owner(0, 1), owner(1, 1)], { bucketBytes: 512 })).toThrow(
      expect.objectContaining({ code: 'CE_METAS_INVALID', rank: 1 }),
    );
  });

  it.each([
    { bucketBytes: 0 },
    { bucketBytes: 1.5 },
    { alignBytes: 100 },
    { maxTensorsPerBucket: 0 },
    { fillBytes: 0 },
  ])('refuses %o', (options) => {
    expect(() => planBuckets([owner(0, 1)], { bucketBytes: 512, ...options })).toThrow(RangeError);
  });

  it('plans Kimi-K2 for 256 ranks', () => {
    const metas = kimiK2Metas(256);
    const options = { bucketBytes: 2240 * 2 ** 20, fillBytes: 256 * 2 ** 20 };
    const plan = planBuckets(metas, options);
    expect(plan).toMatchObject({ tensorCount: 139_583, totalBytes: 1_029_173_249_888 });
    checkUniqueTensors(metas);

    const seen = new Set<string>();
    const wrong = plan.buckets.filter((bucket) => {
      const { tensors, copies } = bucketLayout(metas[bucket.ownerRank]!, bucket, plan.alignBytes);
      for (const { name } of tensors) seen.add(name);
      const maxBytes = tensors.length === 1 ? options.bucketBytes : options.fillBytes;
      return bucket.sizeBytes > maxBytes || copies.length !== 1 || copies[0]!.sizeBytes !== bucket.sizeBytes;
    });
    expect(wrong).toEqual([]);
    expect(seen.size).toBe(139_583);

    const { owners, imbalance } = planSummary(plan, metas);
    expect(owners).toHaveLength(256);
    expect(imbalance).toBeLessThan(1.01);
    // Each rank is served once in the first sixth, except for the owners of the two huge tensors.
    const early = new Set(plan.buckets.slice(0, plan.buckets.length / 6).map(({ ownerRank }) => ownerRank));
    expect(early.size).toBeGreaterThanOrEqual(254);
  }, 60_000);
});
