import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { balanceByBytes } from './balance-by-bytes.ts';

const sized = (...sizes: number[]): { sizeBytes: number }[] => sizes.map((sizeBytes) => ({ sizeBytes }));

describe('balanceByBytes', () => {
  it.each([
    { what: 'equal tensors', sizes: [1, 1, 1, 1], worldSize: 2, owners: [0, 0, 1, 1] },
    { what: 'a large one first', sizes: [4, 2, 2], worldSize: 2, owners: [0, 1, 1] },
    { what: 'a large one last', sizes: [2, 2, 4], worldSize: 2, owners: [0, 0, 1] },
    { what: 'fewer tensors than ranks', sizes: [5, 5], worldSize: 4, owners: [1, 3] },
    { what: 'one rank', sizes: [3, 0, 9], worldSize: 1, owners: [0, 0, 0] },
    { what: 'empty tensors stay with their neighbors', sizes: [0, 4, 0, 4, 0], worldSize: 2, owners: [0, 0, 1, 1, 1] },
    { what: 'only empty tensors', sizes: [0, 0], worldSize: 3, owners: [0, 0] },
    { what: 'none', sizes: [], worldSize: 3, owners: [] },
  ])('gives each rank its quantile: $what', ({ sizes, worldSize, owners }) => {
    expect(balanceByBytes(sized(...sizes), worldSize)).toEqual(owners);
  });

  it('gives no rank more than the mean plus the largest tensor, in one run per rank', () => {
    const size = fc.oneof(fc.constant(0), fc.nat(64), fc.integer({ min: 1, max: 2 ** 32 }));
    fc.assert(
      fc.property(fc.array(size, { maxLength: 200 }), fc.integer({ min: 1, max: 300 }), (sizes, worldSize) => {
        const owners = balanceByBytes(sized(...sizes), worldSize);
        expect(owners).toHaveLength(sizes.length);
        expect(owners).toEqual(owners.toSorted((a, b) => a - b));
        const loads = new Array<number>(worldSize).fill(0);
        for (const [index, owner] of owners.entries()) loads[owner]! += sizes[index]!;
        const total = sizes.reduce((a, b) => a + b, 0);
        for (const load of loads)
          expect(load * worldSize).toBeLessThanOrEqual(total + Math.max(0, ...sizes) * worldSize);
        expect(loads.reduce((a, b) => a + b, 0)).toBe(total);
      }),
    );
  });

  it.each([0, -1, 1.5, Number.NaN])('refuses %d ranks', (worldSize) => {
    expect(() => balanceByBytes(sized(1), worldSize)).toThrow(RangeError);
  });

  it.each([-1, Number.NaN])('refuses a tensor of %d bytes', (sizeBytes) => {
    expect(() => balanceByBytes([{ sizeBytes }], 2)).toThrow(RangeError);
  });
});
