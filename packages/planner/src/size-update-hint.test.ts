import type { RankMetas } from '@checkpoint-engine/meta';
import { describe, expect, it } from 'vitest';
import { sizeUpdate } from './size-update.ts';

const SIZE = 2 ** 20;
const metas = [
  {
    ...{ checkpoint: 'a', rank: 0, host: 'h', deviceUuid: 'd', nics: [], regions: [{ sizeBytes: SIZE }] },
    tensors: [{ name: 't', dtype: 'U8', shape: [SIZE], sizeBytes: SIZE, region: 0, offsetBytes: 0 }],
  },
] as unknown as RankMetas[];
const size = (bounds: Partial<Parameters<typeof sizeUpdate>[1]>) => () =>
  sizeUpdate(metas, {
    ...{ hostAddressable: true, freeBytes: 1000, memberCount: 1, bucketBytes: undefined, maxBucketBytes: undefined },
    ...{ deviceMemoryBytes: undefined, memFraction: undefined },
    ...bounds,
  });

describe('sizeUpdate', () => {
  it('names /dev/shm if it is too small', () => {
    expect(size({})).toThrow(
      expect.objectContaining({ code: 'CE_PLAN_MEMORY_TOO_SMALL', hint: expect.stringContaining('Enlarge /dev/shm') }),
    );
  });

  it.each([{ hostAddressable: false }, { freeBytes: 2 ** 30, deviceMemoryBytes: 1000 }])(
    'does not name it otherwise: %j',
    (bounds) => {
      expect(size(bounds)).toThrow(
        expect.objectContaining({ code: 'CE_PLAN_MEMORY_TOO_SMALL', hint: expect.not.stringContaining('/dev/shm') }),
      );
    },
  );
});
