/**
 * Parts that the packages of this repository share. They are not a contract: they may change in any release.
 *
 * @packageDocumentation
 */
export { decodeBounded, decodeFromRank } from './decode-bounded.ts';
export { Backoff } from './zmq/backoff.ts';
export { keepInDeno } from './zmq/keep-in-deno.ts';
export { ZmqSocket } from './zmq/socket.ts';
