/** Prepares text for one line of a terminal: escapes control characters as in JSON. */
export function printable(text: string): string {
  return /\p{Cc}/u.test(text) ? JSON.stringify(text) : text;
}
