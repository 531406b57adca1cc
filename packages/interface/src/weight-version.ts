/** What stands in place of a version where an instance may hold old and new weights, or weights of another origin. */
export const UNKNOWN_VERSION = 'unknown';

/** Texts that can name a version of weights: every engine, metric label and log line takes them as they are. */
export const WEIGHT_VERSION_PATTERN: RegExp =
  /^(?![Uu][Nn][Kk][Nn][Oo][Ww][Nn]$)[A-Za-z0-9][A-Za-z0-9._:+/@=-]{0,127}$/;

/** {@link WEIGHT_VERSION_PATTERN}, for people. */
export const WEIGHT_VERSION_RULE: string =
  '1 to 128 letters, digits and . _ : + / @ = -, of which the first is a letter or a digit; ' +
  `"${UNKNOWN_VERSION}" is reserved`;

/** Whether a text can name a version of weights. */
export const isWeightVersion = (text: string): boolean => WEIGHT_VERSION_PATTERN.test(text);

/**
 * Refuses a text that cannot name a version of weights.
 *
 * @throws {RangeError} It is empty, too long, reserved, or has other characters.
 */
export function checkWeightVersion(text: string | undefined): void {
  if (text === undefined || isWeightVersion(text)) return;
  const shown = text.length > 128 ? `${text.slice(0, 20)}... of ${text.length} characters` : text;
  throw new RangeError(`A weight version is ${WEIGHT_VERSION_RULE}; got ${JSON.stringify(shown)}`);
}
