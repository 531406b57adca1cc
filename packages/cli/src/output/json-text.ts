/** Formats JSON for programs, with durations and rates rounded to a useful precision. */
export function jsonText(value: object): string {
  return JSON.stringify(value, (_, field: unknown) =>
    typeof field === 'number' && !Number.isInteger(field) ? roundNumber(field) : field,
  );
}

/** Rounds to three decimal places, and numbers below 1 to three significant digits. */
export function roundNumber(value: number): number {
  return Number(Math.abs(value) >= 1 ? value.toFixed(3) : value.toPrecision(3));
}
