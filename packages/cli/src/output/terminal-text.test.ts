import pico from 'picocolors';
import { describe, expect, it } from 'vitest';
import { terminalText } from './terminal-text.ts';

describe('terminalText', () => {
  it.each([
    ['a screen that is cleared', '\u001b[2J', '\\u001b[2J'],
    ['a title', '\u001b]0;title\u0007', '\\u001b]0;title\\u0007'],
    ['hidden text', '\u001b[8mhidden', '\\u001b[8mhidden'],
    ['control sequences of one character', '\u009b2J', '\\u009b2J'],
    ['an overwritten line', 'failed\rok', 'failed\\u000dok'],
    ['deleted text', 'a\b\u007f', 'a\\u0008\\u007f'],
    ['text in another direction', '\u202egnp.exe\u2066', '\\u202egnp.exe\\u2066'],
    ['NUL', 'a\0b', 'a\\u0000b'],
  ])('escapes %s', (_, text, shown) => {
    expect(terminalText(text)).toBe(shown);
  });

  it('keeps colors, the cursor, lines, tabs and all other text', () => {
    const colors = pico.createColors(true);
    const names = Object.keys(colors).filter((name) => !['isColorSupported', 'hidden', 'strikethrough'].includes(name));
    for (const name of names as 'red'[]) {
      if (typeof colors[name] === 'function' && name !== ('reset' as string)) {
        expect(terminalText(colors[name]('text'))).toBe(colors[name]('text'));
      }
    }
    const text = '\u001b[?25l1\t2\n日本語 עברית é 👩‍💻\u001b[?25h';
    expect(terminalText(text)).toBe(text);
  });

  it('keeps the meaning of JSON', () => {
    const value = { name: 'a\u009b31m\u202e\u007f"\u2028\n', nested: ['\u001b[2J'] };
    const text = terminalText(JSON.stringify(value));
    expect(text).not.toMatch(/[\u007f-\u009f\u2028-\u202e]/);
    expect(JSON.parse(text)).toEqual(value);
  });
});
