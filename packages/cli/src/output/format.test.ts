import { describe, expect, it } from 'vitest';
import { formatCount, formatDuration, formatRate, gigabytesPerSecond, plural } from './format.ts';

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
  it('counts 1e9 bytes a second as 1 GB/s', () => expect(formatRate(2e9, 500)).toBe('4 GB/s'));
  it('shows slow rates in MB/s', () => expect(formatRate(5e6, 1000)).toBe('5 MB/s'));
  it('has nothing to say of no time or no bytes', () => {
    expect(formatRate(1, 0)).toBe('-');
    expect(gigabytesPerSecond(0, 1)).toBeUndefined();
  });
});

describe('plural', () => {
  it('counts', () => expect([plural(1, 'rank'), plural(2, 'rank')]).toEqual(['1 rank', '2 ranks']));
  it('separates thousands', () => expect(formatCount(139_583)).toBe('139,583'));
});
