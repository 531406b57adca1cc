/**
 * The contracts of checkpoint-engine: what a device, a transport and a store are, and the errors they throw. It has no
 * dependency, and next to nothing that runs: the project and third-party transports are written against it.
 *
 * @packageDocumentation
 */
export { atRank } from './at-rank.ts';
export type * from './broadcast.ts';
export * from './check-pull.ts';
export type * from './device.ts';
export * from './errors.ts';
export * from './logger.ts';
export * from './longest-timer.ts';
export * from './memory.ts';
export type * from './p2p.ts';
export * from './pull-columns.ts';
export type * from './store.ts';
export * from './worker-protocol.ts';
export * from './worker-pull.ts';
