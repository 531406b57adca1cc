/** JSON for programs: durations and rates without the digits that no clock measures. */
export function jsonText(value: object): string {
  return JSON.stringify(value, (_, field: unknown) =>
    typeof field === 'number' && !Number.isInteger(field) ? roundNumber(field) : field,
  );
}

/** Three digits behind the point; of numbers below 1, three significant digits. */
export function roundNumber(value: number): number {
  return Number(Math.abs(value) >= 1 ? value.toFixed(3) : value.toPrecision(3));
}
