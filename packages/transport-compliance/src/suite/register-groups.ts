import process from 'node:process';
import type { Runner, Skip } from './runner.ts';

/** One test of a suite, which runs with a `Subject`. */
export interface Case<Subject> {
  readonly name: string;
  /** The reason why the test cannot run with these options, if that is so. */
  readonly unavailable?: string | undefined;
  run(subject: Subject): Promise<void>;
}

/** Tests of one subject. */
export interface CaseGroup<Subject> {
  readonly name: string;
  readonly tests: readonly Case<Subject>[];
}

/** Input of {@link registerGroups}. */
export interface Registration<Subject> {
  readonly runner: Runner;
  readonly suiteName: string;
  readonly skip?: readonly Skip[] | undefined;
  readonly groups: readonly CaseGroup<Subject>[];
  /** Runs one test. */
  readonly run: (test: (subject: Subject) => Promise<void>) => Promise<void>;
  /** Registers more tests after the groups. */
  readonly end?: (() => void) | undefined;
}

/** Time for a test of many operations, each of which has its own limit. */
export const TEST_TIMEOUT_MS = 300_000;

/** Registers the groups with the runner, and prints each skipped test with its reason. */
export function registerGroups<Subject>(registration: Registration<Subject>): void {
  const { runner, suiteName, skip = [], groups, run, end } = registration;
  checkSkips(groups, skip);
  const register = (group: CaseGroup<Subject>, test: Case<Subject>) => {
    const asked = skip.find((one) => one.test === group.name || one.test === `${group.name} > ${test.name}`);
    const reason = asked?.reason ?? test.unavailable;
    const body = () => run((subject) => test.run(subject));
    if (reason === undefined) return runner.it(test.name, body, TEST_TIMEOUT_MS);
    process.stderr.write(`skipped: ${suiteName} > ${group.name} > ${test.name}: ${reason}\n`);
    return runner.it.skip?.(`${test.name} (skipped: ${reason})`, body);
  };
  runner.describe(suiteName, () => {
    for (const group of groups) {
      runner.describe(group.name, () => {
        for (const test of group.tests) register(group, test);
      });
    }
    end?.();
  });
}

/** Checks that every skip matches a test: otherwise a renamed test would run unnoticed. */
function checkSkips<Subject>(groups: readonly CaseGroup<Subject>[], skip: readonly Skip[]): void {
  const names = groups.flatMap((group) => [group.name, ...group.tests.map((test) => `${group.name} > ${test.name}`)]);
  for (const { test, reason } of skip) {
    if (!names.includes(test))
      throw new TypeError(`Cannot skip unknown test "${test}", expected one of: ${names.join(', ')}`);
    if (reason === '') throw new TypeError(`The skip of "${test}" has no reason`);
  }
}
