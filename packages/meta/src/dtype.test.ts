import { describe, expect, it } from 'vitest';
import { DTYPES, type DType, dtypeBits, isDType } from './dtype.ts';

describe('dtypes', () => {
  it.each<[number, DType[]]>([
    [4, ['F4']],
    [6, ['F6_E2M3', 'F6_E3M2']],
    [8, ['BOOL', 'U8', 'I8', 'F8_E5M2', 'F8_E4M3', 'F8_E8M0', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ']],
    [16, ['I16', 'U16', 'F16', 'BF16']],
    [32, ['I32', 'U32', 'F32']],
    [64, ['C64', 'F64', 'I64', 'U64']],
  ])('have a size of %i bits: %j', (bits, dtypes) => {
    expect(DTYPES.filter((dtype) => dtypeBits(dtype) === bits).sort()).toEqual(dtypes.sort());
  });

  it('isDType accepts only the names of dtypes', () => {
    expect(DTYPES.every(isDType)).toBe(true);
    for (const value of ['f32', 'F128', '', 'toString', '__proto__', 4, null, undefined, {}]) {
      expect(isDType(value)).toBe(false);
    }
  });

  it('dtypeBits refuses an unknown dtype', () => {
    expect(() => dtypeBits('F128' as DType)).toThrow(RangeError);
  });
});
