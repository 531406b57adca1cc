import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SizeBucketsInput } from './bucket-sizing.ts';
import { sizeBuckets } from './size-buckets.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** A 16 GiB model on one of 8 GPUs with plenty of memory. */
const roomy: SizeBucketsInput = {
  freeBytes: 60 * GIB,
  largestTensorBytes: 64 * MIB,
  totalBytes: 16 * GIB,
  worldSize: 8,
  preferredBucketBytes: 256 * MIB,
  staging: false,
};

const size = (change: Partial<SizeBucketsInput>) => {
  const { bucketBytes, ringSlots, stagingSlots, grown } = sizeBuckets({ ...roomy, ...change });
  return { bucketMiB: bucketBytes / MIB, slots: [ringSlots, stagingSlots], grown };
};

describe('sizeBuckets', () => {
  it.each([
    { what: 'three slots of 256 MiB', change: {}, bucketMiB: 256, slots: [3, 0] },
    {
      what: 'all slots in 1 GiB',
      change: { staging: true },
      bucketMiB: 1024 / 5 - ((1024 / 5) % (256 / MIB)),
      slots: [3, 2],
    },
    {
      what: 'the preferred size',
      change: { preferredBucketBytes: 128 * MIB, staging: true },
      bucketMiB: 128,
      slots: [3, 2],
    },
    {
      what: 'the preferred number of slots',
      change: { ring: { slots: 4, stagingSlots: 1 }, staging: true },
      bucketMiB: 1024 / 5 - ((1024 / 5) % (256 / MIB)),
      slots: [4, 1],
    },
    { what: 'the largest allowed size', change: { maxBucketBytes: 100 * MIB }, bucketMiB: 100, slots: [3, 0] },
    {
      what: 'a large size if memory allows',
      change: { preferredBucketBytes: GIB, deviceMemoryBytes: 8 * GIB },
      bucketMiB: 1024,
      slots: [3, 0],
    },
    { what: 'an eighth of a small model', change: { totalBytes: GIB, worldSize: 1 }, bucketMiB: 128, slots: [3, 0] },
    {
      what: 'no more than an owner has',
      change: { totalBytes: 6400 * MIB, worldSize: 100 },
      bucketMiB: 128,
      slots: [3, 0],
    },
    {
      what: '16 MiB of a tiny model',
      change: { totalBytes: MIB, largestTensorBytes: MIB },
      bucketMiB: 16,
      slots: [3, 0],
    },
  ])('prefers $what', ({ change, bucketMiB, slots }) => {
    expect(size(change)).toEqual({ bucketMiB, slots, grown: false });
  });

  it.each([
    {
      what: 'smaller buckets first',
      change: { deviceMemoryBytes: 400 * MIB },
      bucketMiB: 80,
      slots: [3, 2],
      grown: false,
    },
    {
      what: 'a staging slot then',
      change: { deviceMemoryBytes: 170 * MIB },
      bucketMiB: 64,
      slots: [3, 1],
      grown: false,
    },
    { what: 'a ring slot then', change: { deviceMemoryBytes: 150 * MIB }, bucketMiB: 64, slots: [2, 1], grown: false },
    { what: 'the overlap last', change: { deviceMemoryBytes: 128 * MIB }, bucketMiB: 64, slots: [1, 1], grown: false },
    {
      what: 'size for a large tensor',
      change: { largestTensorBytes: 300 * MIB },
      bucketMiB: 300,
      slots: [3, 2],
      grown: true,
    },
    {
      what: 'the default bound for a huge one',
      change: { largestTensorBytes: 2240 * MIB },
      bucketMiB: 2240,
      slots: [3, 2],
      grown: true,
    },
    {
      what: 'the overlap when memory is short',
      change: { largestTensorBytes: 2240 * MIB, freeBytes: 4480 * MIB, memFraction: 1 },
      bucketMiB: 2240,
      slots: [1, 1],
      grown: true,
    },
    {
      what: 'the overlap for the flag',
      change: { largestTensorBytes: 2240 * MIB, deviceMemoryBytes: 4480 * MIB },
      bucketMiB: 2240,
      slots: [1, 1],
      grown: true,
    },
    {
      what: 'tiny buckets before the overlap',
      change: { largestTensorBytes: MIB, freeBytes: 30 * MIB, memFraction: 1 },
      bucketMiB: 10,
      slots: [2, 1],
      grown: false,
    },
  ])('reduces $what', ({ change, bucketMiB, slots, grown }) => {
    expect(size({ staging: true, ...change })).toEqual({ bucketMiB, slots, grown });
  });

  it('grows to the largest tensor beyond the allowed size, aligned, and reports it', () => {
    const sizing = sizeBuckets({ ...roomy, maxBucketBytes: 32 * MIB, largestTensorBytes: 40 * MIB + 1 });
    expect(sizing).toMatchObject({ bucketBytes: 40 * MIB + 256, fillBytes: 32 * MIB, grown: true });
    expect(sizing.reason).toBe(
      '3 ring slots of 32 MiB, 104 MiB of device memory in all; the bucket of the largest tensor grew from 32 MiB to 40 MiB',
    );
  });

  it('explains reductions in its reason', () => {
    expect(sizeBuckets({ ...roomy, staging: true, deviceMemoryBytes: 128 * MIB }).reason).toBe(
      '1 ring + 1 staging slots of 64 MiB, 128 MiB of device memory in all; buckets shrank from 256 MiB to fit 128 MiB; ' +
        'fewer than 3 ring + 2 staging slots, which do not fit 128 MiB; stages run one after the other',
    );
    expect(sizeBuckets({ ...roomy, largestTensorBytes: GIB }).reason).toBe(
      '3 ring slots of 256 MiB, 1.5 GiB of device memory in all; the bucket of the largest tensor grew from 256 MiB to 1 GiB; ' +
        'above the default bound of 1 GiB, for the largest tensor',
    );
  });

  it('refuses a flag that is too small for one slot of each kind, with what it needs', () => {
    const input = { ...roomy, staging: true, deviceMemoryBytes: 127 * MIB };
    expect(() => sizeBuckets(input)).toThrow(
      expect.objectContaining({
        code: 'CE_PLAN_MEMORY_TOO_SMALL',
        message:
          'An update needs 128 MiB (134217728 bytes) of device memory (1 ring + 1 staging slots for the largest tensor of ' +
          '64 MiB (67108864 bytes)) but has 127 MiB (133169152 bytes), all that --device-memory allows',
        hint: 'Set --device-memory to 134217728 or more',
      }),
    );
  });

  it('refuses when free memory is too small, with what it needs', () => {
    expect(() => sizeBuckets({ ...roomy, freeBytes: 100 * MIB, memFraction: 0.5 })).toThrow(
      expect.objectContaining({
        code: 'CE_PLAN_MEMORY_TOO_SMALL',
        message: expect.stringContaining('but has 50 MiB (52428800 bytes), 0.5 of the free memory (PS_MEM_FRACTION)'),
        hint: expect.stringContaining('128 MiB (134217728 bytes)'),
      }),
    );
  });

  it('never exceeds strict limits, and holds the largest tensor', () => {
    const bytes = fc.oneof(
      fc.nat(10_000),
      fc.nat(64 * MIB),
      fc.maxSafeNat().map((n) => n % (80 * GIB)),
    );
    const limit = fc.option(
      bytes.map((n) => n + 1),
      { nil: undefined },
    );
    const input = fc.record({
      freeBytes: bytes,
      largestTensorBytes: bytes,
      totalBytes: bytes,
      worldSize: fc.integer({ min: 1, max: 300 }),
      maxBucketBytes: limit,
      deviceMemoryBytes: limit,
      preferredBucketBytes: limit.map((bytes) => bytes ?? 256 * MIB),
      memFraction: fc.constantFrom(0.1, 0.9, 1),
      ring: fc.record({ slots: fc.integer({ min: 1, max: 5 }), stagingSlots: fc.integer({ min: 1, max: 3 }) }),
      staging: fc.boolean(),
    });
    fc.assert(
      fc.property(input, (given) => {
        const strict = Math.min(
          given.deviceMemoryBytes ?? Number.POSITIVE_INFINITY,
          given.freeBytes * given.memFraction,
        );
        const tensorBytes = Math.max(256, Math.ceil(given.largestTensorBytes / 256) * 256);
        if (tensorBytes * (given.staging ? 2 : 1) > Math.floor(strict)) {
          expect(() => sizeBuckets(given)).toThrow(expect.objectContaining({ code: 'CE_PLAN_MEMORY_TOO_SMALL' }));
          return;
        }
        const { bucketBytes, fillBytes, ringSlots, stagingSlots, ringBytes, stagingBytes, deviceBytes } =
          sizeBuckets(given);
        expect(bucketBytes % 256).toBe(0);
        expect(bucketBytes).toBeGreaterThanOrEqual(given.largestTensorBytes);
        expect(fillBytes).toBeLessThanOrEqual(bucketBytes);
        expect(fillBytes).toBeGreaterThan(0);
        expect(ringSlots).toBeGreaterThanOrEqual(1);
        expect(ringSlots).toBeLessThanOrEqual(given.ring.slots);
        expect(stagingSlots > 0).toBe(given.staging);
        expect(ringBytes).toBe(bucketBytes + (ringSlots - 1) * fillBytes);
        expect(deviceBytes).toBe(ringBytes + stagingBytes);
        expect(stagingBytes).toBeGreaterThanOrEqual(given.staging ? bucketBytes : 0);
        expect(deviceBytes).toBeLessThanOrEqual(strict);
        const allowed = Math.max(tensorBytes, given.maxBucketBytes ?? bucketBytes, 256);
        expect(bucketBytes).toBeLessThanOrEqual(allowed);
      }),
    );
  });

  it.each<Partial<SizeBucketsInput>>([
    { freeBytes: -1 },
    { worldSize: 0 },
    { memFraction: 0 },
    { memFraction: 1.1 },
    { maxBucketBytes: 0 },
    { deviceMemoryBytes: Number.NaN },
    { ring: { slots: 0 } },
  ])('refuses %o', (change) => {
    expect(() => sizeBuckets({ ...roomy, ...change })).toThrow(RangeError);
  });
});
