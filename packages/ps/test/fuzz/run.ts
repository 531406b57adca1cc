import { expect, test } from 'vitest';
import { targets } from './targets.ts';
import { watch } from './watch.ts';

const MAX_STEP_BYTES = 64 * 2 ** 20;

/** Feeds every target this many valid, nearly valid and arbitrary messages. */
export function fuzz(count: number, seed: number, timeoutMs: number): void {
  test.each(Object.entries(targets))(
    `%s survives ${count} messages of seed ${seed}`,
    async (name, target) => {
      const verdict = await watch((sample) => target(count, seed, sample));
      const { messages, largestStepBytes, seconds } = verdict;
      console.info(
        `${name}: ${messages} messages in ${seconds.toFixed(1)} s, ${(largestStepBytes / 2 ** 20).toFixed(1)} MiB`,
      );
      expect(verdict.crashes).toEqual([]);
      expect(largestStepBytes).toBeLessThan(MAX_STEP_BYTES);
    },
    timeoutMs,
  );
}
