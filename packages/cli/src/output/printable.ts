/** Text for one line of a terminal: control characters, which would act on it, are escaped as in JSON. */
export function printable(text: string): string {
  return /\p{Cc}/u.test(text) ? JSON.stringify(text) : text;
}
