import { registerGroups } from '../suite/register-groups.ts';
import { within } from '../suite/within.ts';
import { epochTests } from './groups/epochs.ts';
import { failureTests } from './groups/failures.ts';
import { gatherTests } from './groups/gathers.ts';
import { lifecycleTests } from './groups/lifecycle.ts';
import { valueTests } from './groups/values.ts';
import type { StoreSubject, StoreSuiteOptions, StoreWorld } from './store-suite-options.ts';

/** Registers the tests that every `Store` must pass. Each test opens its own world. */
export function storeSuite(options: StoreSuiteOptions): void {
  const { runner, name, skip, maxRanks = 3, patienceMs = 30_000 } = options;
  const run = async (test: (subject: StoreSubject) => Promise<void>): Promise<void> => {
    const world = await within(patienceMs, `opening a world of ${maxRanks} ranks`, options.open(maxRanks));
    try {
      const lose = async (rank: number): Promise<void> => await world.lose!(rank);
      await within(patienceMs, 'the test', test({ stores: world.stores, lose }));
    } finally {
      await within(patienceMs, 'closing the world', end(world));
    }
  };
  registerGroups({
    runner,
    suiteName: `store ${name}`,
    skip,
    run,
    groups: [
      valueTests(maxRanks),
      gatherTests(maxRanks),
      epochTests(maxRanks),
      failureTests(maxRanks, options.canLose ?? false),
      lifecycleTests(),
    ],
  });
}

async function end(world: StoreWorld): Promise<void> {
  await Promise.all(world.stores.map((store) => store.close()));
  await world.close?.();
}
