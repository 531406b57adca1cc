import { describe, expect, it } from 'vitest';
import { coefficientOfVariation, median, percentile } from './statistics.ts';

describe('statistics', () => {
  it('median is the middle, or the mean of the two middle ones', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  it('percentile is the nearest rank', () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentile(values, 0.99)).toBe(99);
    expect(percentile([5], 0.99)).toBe(5);
    expect(percentile([1, 2, 3], 0)).toBe(1);
  });

  it('coefficient of variation is the deviation over the mean', () => {
    expect(coefficientOfVariation([1, 3])).toBeCloseTo(Math.SQRT2 / 2);
    expect(coefficientOfVariation([7])).toBe(0);
  });
});
