/** Finds the failure in the answers of engines that return `{"success": true, "message": "..."}`. */
export function successOrMessage(text: string): string | undefined {
  const { success, message } = parseFields(text);
  if (success === true) return undefined;
  return typeof message === 'string' ? message : `unexpected answer: ${text.slice(0, 200)}`;
}

/** Parses JSON. Returns `undefined` if the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Returns the fields of a JSON object, or no fields if the text is not a JSON object. */
export function parseFields(text: string): Readonly<Record<string, unknown>> {
  return fieldsOf(parseJson(text));
}

/** Returns the fields of an object, or no fields if the value is not an object. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** Returns the message in an error answer: engines put it in one of these fields. */
export function messageIn(text: string): string {
  const { message, detail, error, title } = parseFields(text);
  // OpenAI's form is `{"error": {"message": "..."}}`.
  const inner = typeof error === 'object' && error !== null && 'message' in error ? error.message : undefined;
  const found = [message, detail, error, inner, title, parseJson(text)].find((value) => typeof value === 'string');
  return String(found ?? (text.trim() || 'no text')).slice(0, 500);
}

/** Returns the value if it is an integer of at least 1. */
export function countOf(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : undefined;
}

/** Returns the value if it is a list of strings. */
export function textsOf(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
}
