import { describe, expect, it } from 'vitest';
import { headedGroup } from './headed-group.ts';

const headed = (parallelSize: number | undefined, ranks?: number[]) =>
  [0, 1, 2, 3].map((rank) => headedGroup(rank, { parallelSize }, ranks));

describe('headedGroup', () => {
  it('gives each inference group to its first rank', () => {
    expect(headed(2)).toEqual([0, undefined, 1, undefined]);
    expect(headed(1)).toEqual([0, 1, 2, 3]);
  });

  it('gives the only engine to the first rank that receives', () => {
    expect(headed(undefined)).toEqual([0, undefined, undefined, undefined]);
    expect(headed(undefined, [3, 1])).toEqual([undefined, 0, undefined, undefined]);
  });

  it('gives no group to ranks that do not receive', () => {
    expect(headed(2, [2, 3])).toEqual([undefined, undefined, 1, undefined]);
  });
});
