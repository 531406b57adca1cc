import type { RankMetas } from '@checkpoint-engine/meta';
import { describe, expect, it } from 'vitest';
import { sizeUpdate, type UpdateBounds } from './size-update.ts';

const GIB = 2 ** 30;
const tensors = Array.from({ length: 64 }, (_, index) => ({ name: `t${index}`, sizeBytes: 2 ** 26 }));
const metas = [
  { rank: 0, tensors },
  { rank: 1, tensors: [] },
] as unknown as RankMetas[];

const stagingSlots = (bounds: Partial<UpdateBounds>): number =>
  sizeUpdate(metas, {
    hostAddressable: false,
    freeBytes: 8 * GIB,
    memberCount: 2,
    bucketBytes: undefined,
    maxBucketBytes: undefined,
    deviceMemoryBytes: undefined,
    memFraction: undefined,
    ...bounds,
  }).stagingSlots;

describe('sizeUpdate', () => {
  it('stages own buckets where several ranks broadcast from memory of their devices', () => {
    expect(stagingSlots({})).toBe(2);
    expect(stagingSlots({ outOfPlace: true })).toBe(2);
  });

  it.each([
    ['one rank does not broadcast', { memberCount: 1 }],
    ['the device has host memory', { hostAddressable: true }],
    ['the transport sends in place only', { outOfPlace: false }],
  ])('takes no staging where %s', (_, bounds) => {
    expect(stagingSlots(bounds)).toBe(0);
  });
});
