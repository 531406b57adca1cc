/**
 * Small helpers that the packages of this repository share. They are not a contract: they may change in any release.
 *
 * @packageDocumentation
 */
export { Cleanup, type Closable } from './cleanup.ts';
export { Deadline } from './deadline.ts';
export { followSignals } from './follow-signals.ts';
export { nowMs } from './now-ms.ts';
export { ENDED_BY_SERVER, isRepeatedFailure } from './repeated-failure.ts';
export { settlesWithin } from './settles-within.ts';
export { untilAborted } from './until-aborted.ts';
