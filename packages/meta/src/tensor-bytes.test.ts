import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DTYPES, type DType, dtypeBits } from './dtype.ts';
import { tensorBytes } from './tensor-bytes.ts';

describe('tensorBytes', () => {
  it.each<[DType, number[], number]>([
    ['F32', [], 4],
    ['BF16', [7168, 2048], 29_360_128],
    ['F8_E4M3', [3], 3],
    ['F4', [2], 1],
    ['F4', [3, 2], 3],
    ['F6_E2M3', [4], 3],
    ['F4', [0, 3], 0],
    ['U64', [0], 0],
    ['U8', [Number.MAX_SAFE_INTEGER], Number.MAX_SAFE_INTEGER],
    ['U64', [2 ** 49], 2 ** 52],
    ['F4', [Number.MAX_SAFE_INTEGER - 1], (Number.MAX_SAFE_INTEGER - 1) / 2],
  ])('%s of %j has %i bytes', (dtype, shape, bytes) => {
    expect(tensorBytes(dtype, shape)).toBe(bytes);
  });

  it.each<[DType, number[], RegExp]>([
    ['F4', [3], /multiple of 2/],
    ['F4', [], /multiple of 2/],
    ['F6_E3M2', [2], /multiple of 4/],
    ['U16', [Number.MAX_SAFE_INTEGER], /more bytes/],
    ['U8', [2 ** 30, 2 ** 30], /more elements/],
    ['U8', [-1], /Dimension -1/],
    ['U8', [1.5], /Dimension 1.5/],
    ['U8', [2 ** 53], /Dimension 9007199254740992/],
    ['U8', [Number.NaN], /Dimension NaN/],
    ['NO' as DType, [1], /Unknown dtype "NO"/],
  ])('%s of %j is refused', (dtype, shape, message) => {
    expect(() => tensorBytes(dtype, shape)).toThrow(RangeError);
    expect(() => tensorBytes(dtype, shape)).toThrow(message);
  });

  it('agrees with exact arithmetic, or refuses', () => {
    const dimension = fc.oneof(fc.nat(64), fc.maxSafeNat());
    fc.assert(
      fc.property(fc.constantFrom(...DTYPES), fc.array(dimension, { maxLength: 4 }), (dtype, shape) => {
        const bits = shape.reduce((product, n) => product * BigInt(n), BigInt(dtypeBits(dtype)));
        let bytes: number | undefined;
        try {
          bytes = tensorBytes(dtype, shape);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
        if (bytes !== undefined) expect(BigInt(bytes) * 8n).toBe(bits);
        else expect(bits % 8n !== 0n || bits > 2n ** 53n || shape.includes(0)).toBe(true);
      }),
    );
  });
});
