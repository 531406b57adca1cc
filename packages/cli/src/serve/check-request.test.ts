import { describe, expect, it } from 'vitest';
import { checkPaths } from './check-request.ts';

describe('checkPaths', () => {
  it.each([
    ['models/x', /is a relative path/, /absolute paths/],
    ['~/x', /is a relative path/, /absolute paths/],
    ['s3://bucket/x', /is a URL, expected the path/, /^Download the checkpoint/],
    ['file:///models/x', /is a URL, expected the path/, /^Download the checkpoint/],
  ])('refuses %s', (path, message, hint) => {
    const failure = {
      code: 'CE_REQUEST_INVALID',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    };
    expect(() => checkPaths(['/models/a', path])).toThrow(expect.objectContaining(failure));
  });

  it('accepts absolute paths', () => expect(checkPaths(['/models/a:b'])).toBeUndefined());
});
