import { defineSuite } from '../suite/define-suite.ts';
import type { SuiteOptions } from '../suite/suite-options.ts';
import { failureTests, lossTests } from './groups/failures.ts';
import { lifecycleTests, manifestTests } from './groups/lifecycle.ts';
import { readTests } from './groups/reads.ts';
import { registrationTests } from './groups/registrations.ts';

/** Registers the tests that every P2P transport must pass. */
export function p2pSuite(options: SuiteOptions<'p2p'>): void {
  defineSuite('p2p', 'P2P transport', options, [
    manifestTests(),
    lifecycleTests(),
    readTests(options),
    registrationTests(),
    failureTests(),
    lossTests(options),
  ]);
}
