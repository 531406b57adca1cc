/** Replaces the version of an instance that may have old and new weights, or weights of another origin. */
export const UNKNOWN_VERSION = 'unknown';

/** Matches valid versions of weights: every engine, metric label and log line can contain them without escapes. */
export const WEIGHT_VERSION_PATTERN: RegExp =
  /^(?![Uu][Nn][Kk][Nn][Oo][Ww][Nn]$)[A-Za-z0-9][A-Za-z0-9._:+/@=-]{0,127}$/;

/** {@link WEIGHT_VERSION_PATTERN} in words. */
export const WEIGHT_VERSION_RULE: string =
  '1 to 128 letters, digits and . _ : + / @ = -, and the first is a letter or a digit; ' +
  `"${UNKNOWN_VERSION}" is reserved`;

/** Returns whether a text is a valid version of weights. */
export const isWeightVersion = (text: string): boolean => WEIGHT_VERSION_PATTERN.test(text);

/**
 * Checks that a text is a valid version of weights.
 *
 * @throws {RangeError} It is empty, too long, reserved, or has other characters.
 */
export function checkWeightVersion(text: string | undefined): void {
  if (text === undefined || isWeightVersion(text)) return;
  const shown = text.length > 128 ? `${text.slice(0, 20)}... of ${text.length} characters` : text;
  throw new RangeError(`A weight version is ${WEIGHT_VERSION_RULE}; got ${JSON.stringify(shown)}`);
}
