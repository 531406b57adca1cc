import { describe, expect, it } from 'vitest';
import { strategyWithoutSurvey } from './strategy.ts';

const able = { pulls: true, passes: 'one' } as const;

describe('strategyWithoutSurvey', () => {
  it.each([undefined, 'auto', 'pull'] as const)(
    'leaves %s to the survey if workers can report what they keep',
    (strategy) => {
      expect(strategyWithoutSurvey({ strategy }, able)).toBeUndefined();
    },
  );

  it('is buckets on request', () => {
    expect(strategyWithoutSurvey({ strategy: 'buckets' }, able)).toMatchObject({ name: 'buckets' });
  });

  it.each([
    [{ pulls: false, passes: 'one' } as const, /protocol/],
    [{ pulls: true, passes: 'any' } as const, /more than once/],
  ])('is buckets with a reason if workers cannot report it, and fails if a pull is required: %j', (chosen, reason) => {
    expect(strategyWithoutSurvey({}, chosen)).toMatchObject({ name: 'buckets', reason: expect.stringMatching(reason) });
    expect(() => strategyWithoutSurvey({ strategy: 'pull' }, chosen)).toThrow(reason);
    expect(() => strategyWithoutSurvey({ strategy: 'pull' }, chosen)).toThrow(
      expect.objectContaining({ code: 'CE_NOT_SUPPORTED' }),
    );
  });
});
