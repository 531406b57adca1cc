import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { Cleanup } from '@checkpoint-engine/interface/shared';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UpdateLifetime } from './update-lifetime.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});
const start = (timeoutMs: number, ...signals: AbortSignal[]): UpdateLifetime =>
  new UpdateLifetime({ checkpoint: 'a', rank: 0, timeoutMs, signals, cleanup: new Cleanup() });

describe('UpdateLifetime', () => {
  it('ends with its time-out', () => {
    const life = start(1_000);
    vi.advanceTimersByTime(999);
    expect(life.signal.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(life.failure).toMatchObject({ code: 'CE_TIMEOUT', rank: 0 });
  });

  // A Node.js timer with a longer delay fires at once.
  it.each([2 ** 31 - 1, 2 ** 31, 2 ** 40, Number.POSITIVE_INFINITY])(
    'does not end early with a time-out of %s ms',
    (timeoutMs) => {
      const life = start(timeoutMs);
      vi.advanceTimersByTime(86_400_000);
      expect(life.signal.aborted).toBe(false);
    },
  );

  describe('with bytes that differ at another rank', () => {
    const differs = new CheckpointEngineError('CE_DIGEST_MISMATCH', 'Tensor "a" differs', 'hint', { rank: 1 });
    const told = 'The engine answered with 500: The parameter server ended the update: Tensor "a" differs';
    const repeated = new CheckpointEngineError('CE_ENGINE_FAILED', told, 'hint');

    it.each(['the other rank', 'the engine of this rank'])(
      'fails with the digest mismatch if %s reports first',
      async (first) => {
        const scope = new AbortController();
        const life = start(100_000, scope.signal);
        const reports = [() => scope.abort(differs), () => life.fail(repeated)];
        if (first !== 'the other rank') reports.reverse();
        reports[0]!();
        const ended = life.end(repeated);
        reports[1]!();
        expect(await ended).toBe(differs);
      },
    );

    it("fails with the engine's answer if the other rank reports nothing in time", async () => {
      const told: unknown[] = [];
      const life = start(100_000);
      life.onFailure((failure) => told.push(failure));
      const ended = life.end(repeated);
      vi.advanceTimersByTime(1_999);
      expect(life.signal.aborted).toBe(false);
      vi.advanceTimersByTime(1);
      expect(await ended).toMatchObject({ code: 'CE_ENGINE_FAILED', rank: 0 });
      expect(told).toHaveLength(1);
    });
  });
});
