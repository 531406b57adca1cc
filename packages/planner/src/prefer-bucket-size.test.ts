import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PreferBucketSizeInput, preferBucketSize } from './prefer-bucket-size.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const links = { h2dGBps: 50, broadcastGBps: 150 };
const base: PreferBucketSizeInput = {
  totalBytes: 15.3 * GIB,
  tensorCount: 399,
  worldSize: 4,
  reload: { bucketMs: 3.5, tensorMs: 0.12 },
  links,
  maxBytes: 2 * GIB,
};

const any = fc.record({
  totalBytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2 ** 40 })),
  tensorCount: fc.nat(200_000),
  worldSize: fc.integer({ min: 1, max: 512 }),
  reload: fc.record({
    bucketMs: fc.double({ min: 0, max: 50, noNaN: true }),
    tensorMs: fc.double({ min: 0, max: 2, noNaN: true }),
  }),
  links: fc.record({
    h2dGBps: fc.double({ min: 0.5, max: 400, noNaN: true }),
    broadcastGBps: fc.double({ min: 0.5, max: 400, noNaN: true }),
  }),
  maxBytes: fc.integer({ min: 1, max: 2 ** 36 }),
});

describe('preferBucketSize', () => {
  it('prefers small buckets if workers cost nothing', () => {
    expect(preferBucketSize({ ...base, reload: { bucketMs: 0, tensorMs: 0 } })).toBe(16 * MIB);
  });

  it('prefers large buckets if the calls of the workers take longer than the links', () => {
    expect(preferBucketSize(base)).toBeGreaterThanOrEqual(512 * MIB);
    expect(preferBucketSize({ ...base, maxBytes: 400 * MIB })).toBe(384 * MIB);
  });

  it('prefers medium buckets if the link of a GPU is the bottleneck', () => {
    const size = preferBucketSize({ ...base, worldSize: 1 });
    expect(size).toBeGreaterThanOrEqual(128 * MIB);
    expect(size).toBeLessThanOrEqual(512 * MIB);
  });

  it('is a multiple of 16 MiB within its bounds, and never falls as a call costs more', () => {
    fc.assert(
      fc.property(any, (input) => {
        const size = preferBucketSize(input);
        expect(size % (16 * MIB)).toBe(0);
        expect(size).toBeLessThanOrEqual(Math.max(16 * MIB, Math.min(input.maxBytes, 2 * GIB)));
        const { bucketMs, tensorMs } = input.reload;
        const dearer = preferBucketSize({ ...input, reload: { bucketMs: bucketMs * 2 + 1, tensorMs } });
        expect(dearer).toBeGreaterThanOrEqual(size);
      }),
    );
  });

  it.each([
    { worldSize: 0 },
    { totalBytes: -1 },
    { maxBytes: 0 },
    { reload: { bucketMs: -1, tensorMs: 0 } },
    { links: { h2dGBps: 0, broadcastGBps: 1 } },
  ])('refuses %o', (wrong) => {
    expect(() => preferBucketSize({ ...base, ...wrong })).toThrow(RangeError);
  });
});
