import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatBytes } from './format-bytes.ts';
import { parseSize } from './parse-size.ts';

describe('parseSize', () => {
  it.each([
    ['512MiB', 512 * 2 ** 20],
    ['2GiB', 2 ** 31],
    ['8e9', 8e9],
    ['1.5e+3', 1500],
    ['1.5GB', 1.5e9],
    ['64 kib', 65_536],
    ['10kb', 10_000],
    ['1tib', 2 ** 40],
    [' 1048576 ', 1_048_576],
    ['7b', 7],
    ['0', 0],
    ['0.3GiB', 322_122_547],
  ])('reads "%s" as %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each([
    '',
    ' ',
    '2G',
    '5m',
    'GiB',
    '-1',
    '+1',
    '1,5GB',
    '1e-3',
    '1  GiB',
    '0x10',
    'Infinity',
    'NaN',
    '1e400',
    '9e15GB',
    '2.GiB',
  ])('refuses "%s" and shows examples', (text) => {
    expect(() => parseSize(text)).toThrow(
      expect.objectContaining({ code: 'CE_CONFIG_INVALID', hint: expect.stringContaining('512MiB, 2GiB') }),
    );
  });

  it('reads back every integer', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(String(bytes)) === bytes));
  });
});

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [256 * 2 ** 20, '256 MiB'],
    [1187 * 2 ** 20, '1.16 GiB'],
    [2 ** 30 - 1, '1 GiB'],
    [1_029_173_249_888, '958.49 GiB'],
    [2 ** 53, '8 PiB'],
  ])('writes %d as "%s"', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it('is read back to within its rounding', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 52 }), (bytes) => {
        expect(Math.abs(parseSize(formatBytes(bytes)) - bytes)).toBeLessThanOrEqual(bytes / 100);
      }),
    );
  });
});
