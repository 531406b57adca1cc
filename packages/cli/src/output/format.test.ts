import { describe, expect, it } from 'vitest';
import { formatCount, formatDuration, formatPart, formatRate, gigabytesPerSecond, plural } from './format.ts';

describe('formatDuration', () => {
  it.each([
    [0, '0 ms'],
    [8.3456, '8.35 ms'],
    [412.4, '412 ms'],
    [999.7, '1 s'],
    [1240, '1.24 s'],
    [59_999, '60 s'],
    [125_000, '2 min 05 s'],
  ])('%d ms is %s', (milliseconds, text) => expect(formatDuration(milliseconds)).toBe(text));
});

describe('formatRate', () => {
  it.each([
    [2 ** 31, 500, '4 GiB/s'],
    [5 * 2 ** 20, 1000, '5 MiB/s'],
    [135_266_304, 1000, '129 MiB/s'],
    [1023.9 * 2 ** 20, 1000, '1 GiB/s'],
    [100, 1000, '100 B/s'],
    [3 * 2 ** 50, 1000, '3072 TiB/s'],
  ])('counts %d bytes in %d ms in the units of sizes: %s', (bytes, ms, text) =>
    expect(formatRate(bytes, ms)).toBe(text),
  );
  it('is empty for no time or no bytes', () => {
    expect(formatRate(1, 0)).toBe('-');
    expect(gigabytesPerSecond(0, 1)).toBeUndefined();
  });
});

describe('formatPart', () => {
  it.each([
    [0, 17_362_092_032, '0.0 / 16.2 GiB'],
    [1_524_713_390, 17_362_092_032, '1.4 / 16.2 GiB'],
    [2_048, 4 * 2 ** 20, '0.00 / 4.00 MiB'],
    [0, 0, '0 / 0 B'],
    [70, 512, '70 / 512 B'],
    [99.97 * 2 ** 30, 99.97 * 2 ** 30, '100 / 100 GiB'],
  ])('%d of %d is %s', (done, total, text) => expect(formatPart(done, total)).toBe(text));
});

describe('plural', () => {
  it('counts', () => expect([plural(1, 'rank'), plural(2, 'rank')]).toEqual(['1 rank', '2 ranks']));
  it('separates thousands', () => expect(formatCount(139_583)).toBe('139,583'));
});
