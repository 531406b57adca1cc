/** `failureIn` of engines that answer `{"success": true, "message": "..."}`. */
export function successOrMessage(text: string): string | undefined {
  const { success, message } = parseFields(text);
  if (success === true) return undefined;
  return typeof message === 'string' ? message : `unexpected answer: ${text.slice(0, 200)}`;
}

/** The value, or `undefined` where the text is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The fields of a JSON object; none where the text is something else. */
export function parseFields(text: string): Readonly<Record<string, unknown>> {
  const value = parseJson(text);
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** The sentence in an error answer: engines put it in one of these fields. */
export function messageIn(text: string): string {
  const { message, detail, error, title } = parseFields(text);
  // OpenAI's form is `{"error": {"message": "..."}}`.
  const inner = typeof error === 'object' && error !== null && 'message' in error ? error.message : undefined;
  const found = [message, detail, error, inner, title, parseJson(text)].find((value) => typeof value === 'string');
  return String(found ?? (text.trim() || 'no text')).slice(0, 500);
}

/** The value where it is an integer, 1 and up. */
export function countOf(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : undefined;
}

/** The value where it is a list of texts. */
export function textsOf(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
}
