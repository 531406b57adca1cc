import { Cleanup } from '@checkpoint-engine/interface/shared';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UpdateLifetime } from './update-lifetime.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});
const start = (timeoutMs: number): UpdateLifetime =>
  new UpdateLifetime({ checkpoint: 'a', rank: 0, timeoutMs, signals: [], cleanup: new Cleanup() });

describe('UpdateLifetime', () => {
  it('ends with its time-out', () => {
    const life = start(1_000);
    vi.advanceTimersByTime(999);
    expect(life.signal.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(life.failure).toMatchObject({ code: 'CE_TIMEOUT', rank: 0 });
  });

  // A timer that is set to more fires at once.
  it.each([2 ** 31 - 1, 2 ** 31, 2 ** 40, Number.POSITIVE_INFINITY])(
    'lives on with a time-out of %s ms',
    (timeoutMs) => {
      const life = start(timeoutMs);
      vi.advanceTimersByTime(86_400_000);
      expect(life.signal.aborted).toBe(false);
    },
  );
});
