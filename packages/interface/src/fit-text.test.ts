import { describe, expect, it } from 'vitest';
import { fitText } from './fit-text.ts';

describe('fitText', () => {
  it('returns text that fits unchanged', () => {
    expect(fitText('abcd', 4)).toBe('abcd');
  });

  it('keeps the beginning and the end, and states the length of the text', () => {
    expect(fitText('abcdefgh', 4)).toBe('ab ... (8 characters) ... gh');
  });

  it('leaves no half of a surrogate pair', () => {
    expect(fitText('a\u{1f600}bcd\u{1f600}e', 4)).toBe('a\ufffd ... (9 characters) ... \ufffde');
  });
});
