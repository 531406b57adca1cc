import { defineConfig } from 'vitest/config';

/** The tests with real inference engines have a separate lane, because each engine takes minutes to start. */
export default defineConfig({
  test: {
    expect: { poll: { timeout: 60_000 } },
    name: 'engines',
    include: ['tools/engines/test/**/*.test.ts'],
    root: new URL('../..', import.meta.url).pathname,
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    // An engine keeps about one core busy while it starts.
    maxConcurrency: 2,
    testTimeout: 300_000,
    hookTimeout: 1_800_000,
  },
});
