import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { mapBounded } from './map-bounded.ts';

describe('mapBounded', () => {
  it('keeps the order and the bound', async () => {
    let pending = 0;
    let most = 0;
    const results = await mapBounded([5, 1, 4, 2, 3], 2, async (ms) => {
      most = Math.max(most, ++pending);
      await setTimeout(ms);
      pending--;
      return ms * 2;
    });
    expect(results).toEqual([10, 2, 8, 4, 6]);
    expect(most).toBe(2);
  });

  it('throws the first error in order, then starts no work and leaves none pending', async () => {
    const started: number[] = [];
    let pending = 0;
    const run = mapBounded([20, 1, 0, 0], 2, async (ms) => {
      started.push(ms);
      pending++;
      await setTimeout(ms);
      pending--;
      throw new Error(`failed after ${ms}`);
    });
    await expect(run).rejects.toThrow('failed after 20');
    expect({ started, pending }).toEqual({ started: [20, 1], pending: 0 });
  });
});
