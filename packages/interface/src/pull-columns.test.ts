import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeU32, decodeU64, encodeU32, encodeU64 } from './pull-columns.ts';

describe('columns of numbers', () => {
  it('survive encoding and decoding', () => {
    fc.assert(
      fc.property(fc.array(fc.maxSafeNat()), fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 })), (large, small) => {
        expect([...decodeU64(encodeU64(large))]).toEqual(large);
        expect([...decodeU32(encodeU32(small))]).toEqual(small);
      }),
    );
  });

  it('are little-endian', () => {
    expect([...encodeU64([0x0102030405])]).toEqual([5, 4, 3, 2, 1, 0, 0, 0]);
    expect([...encodeU32([0x01020304])]).toEqual([4, 3, 2, 1]);
  });

  it('are refused if they end within a number, or contain a number that is not exact', () => {
    expect(() => decodeU32(new Uint8Array(5))).toThrow(RangeError);
    expect(() => decodeU64(new Uint8Array(12))).toThrow(RangeError);
    expect(() => decodeU64(Uint8Array.of(0, 0, 0, 0, 0, 0, 0x20, 0))).toThrow('2^53');
  });
});
