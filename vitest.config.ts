import { availableParallelism } from 'node:os';
import process from 'node:process';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const resolve = { conditions: ['@checkpoint-engine/source', 'node', 'import', 'default'] };
// These bounds only end tests that hang: beside a second suite on a busy machine, tests take ten times as long.
const expect = { poll: { timeout: 120_000 } };
const HANG_MS = 300_000;
const ssr = { resolve: { conditions: ['@checkpoint-engine/source', 'node', 'import', 'default'] } };

// Tests wait for processes, sockets and time limits for a good part of their time, so that two files more than there are
// processors keep these busy. More than a few worlds at once need much memory.
const maxWorkers = Math.min(availableParallelism() + 2, 8);

// Tests that take minutes or hours: fuzzing, kills, leaks, the pace of updates while unknown peers connect. Each file
// begins with its duration and the variables that change it. Only `npm run test:stress` runs them.
const stress = {
  test: {
    expect,
    name: 'stress',
    include: ['packages/*/test/**/*.stress.ts', 'apps/*/test/**/*.stress.ts'],
    pool: 'forks' as const,
    maxWorkers: 1,
    testTimeout: 1_800_000,
    hookTimeout: 60_000,
  },
};

/**
 * The order of Vitest, the longest files first as far as it knows them, but unit tests last. They follow each other, so
 * that they can share processes, and as they are short, no worker is idle for long at the end.
 */
class UnitLast extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isUnit = ({ project }: TestSpecification): boolean => project.name === 'unit';
    return [...sorted.filter((file) => !isUnit(file)), ...sorted.filter(isUnit)];
  }
}

export default defineConfig({
  test: {
    maxWorkers,
    sequence: { sequencer: UnitLast },
    projects: [
      {
        // Small and fast: they read the sources and need no build of the TypeScript. The files that a process runs share
        // its modules, which would otherwise take more time to load than the tests run.
        resolve,
        ssr,
        test: {
          expect,
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts'],
          pool: 'forks',
          isolate: false,
          testTimeout: HANG_MS,
        },
      },
      {
        // Real processes, sockets, shared memory and native addons: they run the output of `npm run build`.
        test: {
          expect,
          name: 'integration',
          include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'tools/test/**/*.test.ts'],
          exclude: ['tools/test/release.test.ts'],
          // Node.js loads what is built, as it does for users.
          server: { deps: { external: [/\/dist\/.*\.js$/] } },
          pool: 'forks',
          testTimeout: HANG_MS,
          hookTimeout: HANG_MS,
        },
      },
      {
        // Packs, publishes to a registry on this machine and installs from it: minutes, so not part of every run.
        test: {
          name: 'release',
          include: ['tools/test/release.test.ts'],
          pool: 'forks',
          maxWorkers: 1,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      ...(process.env.STRESS === '1' ? [stress] : []),
    ],
  },
});
