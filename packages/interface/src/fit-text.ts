/**
 * Fits text of a file, an engine or a peer into a message: a longer text keeps its beginning and its end, and says how
 * long it was.
 *
 * @param characters Maximum number of characters that are kept, at least 2.
 */
export function fitText(text: string, characters: number): string {
  if (text.length <= characters) return text;
  const half = Math.floor(characters / 2);
  // A half of a surrogate pair at a cut becomes the replacement character.
  const [begin, end] = [text.slice(0, half), text.slice(-half)].map((part) =>
    part.replaceAll(/\p{Surrogate}/gu, '\ufffd'),
  );
  return `${begin} ... (${text.length} characters) ... ${end}`;
}
