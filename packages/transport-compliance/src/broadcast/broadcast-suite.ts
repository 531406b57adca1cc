import { defineSuite } from '../suite/define-suite.ts';
import type { SuiteOptions } from '../suite/suite-options.ts';
import { abortTests } from './groups/abort.ts';
import { placementTests, rootTests, sizeTests } from './groups/bytes.ts';
import { groupTests } from './groups/groups.ts';
import { leakTests } from './groups/leaks.ts';
import { lifecycleTests } from './groups/lifecycle.ts';
import { lossTests } from './groups/loss.ts';
import { manifestTests } from './groups/manifest.ts';
import { mismatchTests, misuseTests } from './groups/misuse.ts';
import { pendingTests } from './groups/pending.ts';
import { sharedTests } from './groups/shared.ts';

/** Registers the tests that every broadcast transport must pass. */
export function broadcastSuite(options: SuiteOptions<'broadcast'>): void {
  defineSuite('broadcast', 'broadcast transport', options, [
    manifestTests(),
    lifecycleTests(options),
    sizeTests(options),
    rootTests(options),
    placementTests(),
    pendingTests(),
    sharedTests(options),
    groupTests(options),
    misuseTests(),
    mismatchTests(options),
    abortTests(options),
    lossTests(options),
    leakTests(),
  ]);
}
