/**
 * What every reader of bytes from another process goes through before it decodes them: cutting a stream into frames,
 * the limits of a msgpack message, and how many connections may be open that have not proved who they are. For the
 * packages of this project; it may change in any release.
 *
 * @packageDocumentation
 */
export * from './byte-queue.ts';
export * from './check-msgpack.ts';
export * from './frame-cutter.ts';
export * from './strangers.ts';
