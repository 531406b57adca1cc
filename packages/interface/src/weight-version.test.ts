import { describe, expect, it } from 'vitest';
import { checkWeightVersion, isWeightVersion, UNKNOWN_VERSION } from './weight-version.ts';

describe('a weight version', () => {
  it.each(['7', 'step-100', 'v1.2.3+sha.4f', 'digest:0123abcd', 'run/3@step=5', 'x'.repeat(128), 'default'])(
    'may be %s',
    (text) => {
      expect(isWeightVersion(text)).toBe(true);
      expect(() => checkWeightVersion(text)).not.toThrow();
    },
  );

  it.each(['', ' ', 'a b', 'a\n', '-v', '.', 'é', 'v"1', 'a\u0000', 'x'.repeat(129), UNKNOWN_VERSION, 'Unknown'])(
    'is not %j',
    (text) => {
      expect(isWeightVersion(text)).toBe(false);
      expect(() => checkWeightVersion(text)).toThrow(RangeError);
    },
  );

  it('is optional', () => {
    expect(() => checkWeightVersion(undefined)).not.toThrow();
  });

  it('is quoted in the message, truncated if it is long', () => {
    expect(() => checkWeightVersion('a b')).toThrow(/got "a b"$/);
    expect(() => checkWeightVersion('x'.repeat(5000))).toThrow(/of 5000 characters"$/);
  });
});
