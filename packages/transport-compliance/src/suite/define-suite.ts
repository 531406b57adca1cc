import type { Kind } from '../world/world.ts';
import { type Case, type CaseGroup, registerGroups, TEST_TIMEOUT_MS } from './register-groups.ts';
import { Stage } from './stage.ts';
import type { SuiteOptions } from './suite-options.ts';

/** One test of a transport's suite. */
export type TestCase<K extends Kind> = Case<Stage<K>>;

/** Tests of one subject. */
export type TestGroup<K extends Kind> = CaseGroup<Stage<K>>;

/** Registers the groups of a transport's suite with the runner. */
export function defineSuite<K extends Kind>(
  kind: K,
  title: string,
  options: SuiteOptions<K>,
  groups: readonly TestGroup<K>[],
): void {
  const { runner, skip } = options;
  const stage = new Stage(kind, options);
  registerGroups({
    runner,
    suiteName: `${title} of ${options.name}, ${options.world.name}`,
    skip,
    groups,
    run: (test) => stage.run(test),
    end() {
      runner.describe('end', () => {
        runner.it('every member shuts down and its process ends by itself', () => stage.end(), TEST_TIMEOUT_MS);
      });
      runner.afterAll?.(() => stage.end());
    },
  });
}
