/**
 * The contracts of checkpoint-engine: devices, transports, stores, and the errors that they throw. The package has no
 * dependencies and almost no runtime code: the project and third-party transports are written against it.
 *
 * @packageDocumentation
 */
export { atRank } from './at-rank.ts';
export type * from './broadcast.ts';
export * from './check-pull.ts';
export type * from './device.ts';
export * from './digest.ts';
export * from './errors.ts';
export * from './fit-text.ts';
export * from './logger.ts';
export * from './longest-timer.ts';
export * from './memory.ts';
export * from './module-report.ts';
export type * from './p2p.ts';
export * from './pull-columns.ts';
export type * from './pull-values.ts';
export type * from './server-pull-messages.ts';
export type * from './store.ts';
export * from './weight-version.ts';
export * from './worker-protocol.ts';
export * from './worker-pull.ts';
export type * from './worker-pull-messages.ts';
export * from './world-size.ts';
