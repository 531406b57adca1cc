import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findMismatch, guardPattern, writePattern } from './pattern.ts';

const pattern = { root: 1, seed: 2 };

function bytes(of: typeof pattern, position: number, sizeBytes: number): Uint8Array {
  const into = new Uint8Array(sizeBytes);
  writePattern(of, position, into);
  return into;
}

/** Share of bytes that are the same in both. */
function likeness(a: Uint8Array, b: Uint8Array): number {
  return a.filter((byte, i) => byte === b[i]).length / a.length;
}

describe('writePattern', () => {
  it('produces the same bytes from every start position', () => {
    const whole = bytes(pattern, 0, 1000);
    fc.assert(
      fc.property(fc.nat(999), fc.nat(1000), (start, sizeBytes) => {
        const end = Math.min(1000, start + sizeBytes);
        expect(bytes(pattern, start, end - start)).toEqual(whole.slice(start, end));
      }),
    );
  });

  it('differs for other roots and seeds, for the guard, and when it is shifted', () => {
    const own = bytes(pattern, 0, 10_000);
    for (const other of [{ root: 2, seed: 2 }, { root: 1, seed: 3 }, { root: 2, seed: 1 }, guardPattern]) {
      expect(likeness(own, bytes(other, 0, 10_000))).toBeLessThan(0.02);
    }
    for (const shift of [1, 2, 4, 256, 4096]) {
      expect(likeness(own, bytes(pattern, shift, 10_000))).toBeLessThan(0.02);
    }
  });

  it('continues beyond 4 GiB', () => {
    expect(likeness(bytes(pattern, 2 ** 32 + 5, 1000), bytes(pattern, 5, 1000))).toBeLessThan(0.05);
  });
});

describe('findMismatch', () => {
  it('finds nothing if everything is right', () => {
    expect(findMismatch(pattern, 7, bytes(pattern, 7, 1000))).toBeUndefined();
  });

  it('finds the first wrong byte', () => {
    const wrong = bytes(pattern, 7, 1000);
    const expected = wrong[500]!;
    wrong[500] = expected ^ 1;
    wrong[600] = wrong[600]! ^ 1;
    expect(findMismatch(pattern, 7, wrong)).toEqual({ position: 507, expected, found: expected ^ 1 });
  });
});
