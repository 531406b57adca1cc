/**
 * Characters that can control a terminal or reorder its text: control characters except tabs and line ends, and
 * characters that end lines or override the direction of text. The first group matches sequences that this program
 * itself sends, which are kept: colors, and hiding and showing the cursor.
 */
const ACTING =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are the subject.
  /(\u001b\[(?:[0-47]|2[2-57]|[39][0-7]|[34]9|4[0-7]|10[0-7])m|\u001b\[\?25[hl])|[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/**
 * Makes text harmless for a terminal: characters that act on it are escaped as in JSON. Such text comes from files,
 * engines and peers. In JSON, the escaped text represents the same string.
 */
export function terminalText(text: string): string {
  return text.replaceAll(ACTING, (found, own: string | undefined) => own ?? escaped(found));
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
