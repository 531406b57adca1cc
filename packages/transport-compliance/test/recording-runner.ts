import type { Runner } from '@checkpoint-engine/transport-compliance';

/** The results of a suite's tests, by their full names without the suite's title. */
export interface Record {
  readonly passed: string[];
  readonly failed: Map<string, Error>;
  readonly skipped: string[];
}

/** Runs the tests of some groups of a suite like a test runner, and returns their results. */
export async function record(groups: readonly string[], register: (runner: Runner) => void): Promise<Record> {
  const path: string[] = [];
  const tests: { name: string; body: () => Promise<void> }[] = [];
  const skipped: string[] = [];
  const fullName = (name: string) => [...path.slice(1), name].join(' > ');
  const it = (name: string, body: () => Promise<void>) => tests.push({ name: fullName(name), body });
  it.skip = (name: string) => skipped.push(fullName(name));
  register({
    it,
    describe(name, body) {
      path.push(name);
      body();
      path.pop();
    },
  });
  const passed: string[] = [];
  const failed = new Map<string, Error>();
  for (const { name, body } of tests) {
    if (!groups.includes(name.split(' > ')[0]!)) continue;
    try {
      await body();
      passed.push(name);
    } catch (error) {
      failed.set(name, error as Error);
    }
  }
  return { passed, failed, skipped };
}
