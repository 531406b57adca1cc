import { describe, expect, it } from 'vitest';
import { methodWithoutSurvey } from './method.ts';

const able = { pulls: true, passes: 'one' } as const;

describe('methodWithoutSurvey', () => {
  it.each([undefined, 'auto', 'pull'] as const)(
    'leaves %s to the survey if workers can report what they keep',
    (method) => {
      expect(methodWithoutSurvey({ method }, able)).toBeUndefined();
    },
  );

  it('is buckets on request', () => {
    expect(methodWithoutSurvey({ method: 'buckets' }, able)).toMatchObject({ name: 'buckets' });
  });

  it.each([
    [{ pulls: false, passes: 'one' } as const, /protocol/],
    [{ pulls: true, passes: 'any' } as const, /more than once/],
  ])('is buckets with a reason if workers cannot report it, and fails if a pull is required: %j', (chosen, reason) => {
    expect(methodWithoutSurvey({}, chosen)).toMatchObject({ name: 'buckets', reason: expect.stringMatching(reason) });
    expect(() => methodWithoutSurvey({ method: 'pull' }, chosen)).toThrow(reason);
    expect(() => methodWithoutSurvey({ method: 'pull' }, chosen)).toThrow(
      expect.objectContaining({ code: 'CE_NOT_SUPPORTED' }),
    );
  });
});
