import { type BenchResult, RESULT_VERSION } from './result.ts';

/** Reads a result that a scenario wrote. `undefined` for JSON of another form or version. */
export function parseResult(json: string): BenchResult | undefined {
  const value = JSON.parse(json) as Partial<BenchResult> | null;
  return value?.version === RESULT_VERSION && Array.isArray(value.rows) ? (value as BenchResult) : undefined;
}
