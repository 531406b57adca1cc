/**
 * Checks for bytes from other processes before they are decoded: splitting a stream into frames, limits of msgpack
 * messages, and a bound on open connections that are not authenticated. For the packages of this project; it may change
 * in any release.
 *
 * @packageDocumentation
 */
export { boundError } from './bound-error.ts';
export * from './byte-queue.ts';
export * from './check-msgpack.ts';
export * from './frame-cutter.ts';
export * from './pending-connections.ts';
