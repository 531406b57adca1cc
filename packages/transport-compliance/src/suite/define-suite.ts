import process from 'node:process';
import type { Kind } from '../world/world.ts';
import type { Skip } from './runner.ts';
import { Stage } from './stage.ts';
import type { SuiteOptions } from './suite-options.ts';

/** One test of a suite. */
export interface TestCase<K extends Kind> {
  readonly name: string;
  /** Why it cannot run with these options, where it cannot. */
  readonly unavailable?: string | undefined;
  run(stage: Stage<K>): Promise<void>;
}

/** Tests of one subject. */
export interface TestGroup<K extends Kind> {
  readonly name: string;
  readonly tests: readonly TestCase<K>[];
}

/** Room for a test of many operations, each of which has its own limit. */
const testTimeoutMs = 300_000;

/** Registers the groups with the runner; what is skipped is printed with its reason. */
export function defineSuite<K extends Kind>(
  kind: K,
  title: string,
  options: SuiteOptions<K>,
  groups: readonly TestGroup<K>[],
): void {
  const { runner, skip = [] } = options;
  checkSkips(groups, skip);
  const stage = new Stage(kind, options);
  const suiteName = `${title} of ${options.name}, ${options.world.name}`;
  const register = (group: TestGroup<K>, test: TestCase<K>) => {
    const asked = skip.find((one) => one.test === group.name || one.test === `${group.name} > ${test.name}`);
    const reason = asked?.reason ?? test.unavailable;
    const body = () => stage.run((one) => test.run(one));
    if (reason === undefined) return runner.it(test.name, body, testTimeoutMs);
    process.stderr.write(`skipped: ${suiteName} > ${group.name} > ${test.name}: ${reason}\n`);
    return runner.it.skip?.(`${test.name} (skipped: ${reason})`, body);
  };
  runner.describe(suiteName, () => {
    for (const group of groups) {
      runner.describe(group.name, () => {
        for (const test of group.tests) register(group, test);
      });
    }
    runner.describe('end', () => {
      runner.it('every member shuts down and its process ends by itself', () => stage.end(), testTimeoutMs);
    });
    runner.afterAll?.(() => stage.end());
  });
}

/** A skip that no test has the name of would hide that the test is run, or was renamed. */
function checkSkips<K extends Kind>(groups: readonly TestGroup<K>[], skip: readonly Skip[]): void {
  const names = groups.flatMap((group) => [group.name, ...group.tests.map((test) => `${group.name} > ${test.name}`)]);
  for (const { test, reason } of skip) {
    if (!names.includes(test)) throw new TypeError(`There is no test "${test}" to skip: ${names.join(', ')}`);
    if (reason === '') throw new TypeError(`The skip of "${test}" gives no reason`);
  }
}
