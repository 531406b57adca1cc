/**
 * The HTTP API of a world of ranks.
 *
 * @packageDocumentation
 */

export { checkpointBusy, checkpointDeleted } from './checkpoint-errors.ts';
export { createHttpApi, type HttpApi, type HttpApiOptions, type UpdateObserver } from './create-http-api.ts';
export { type ServerWorldOptions, serverWorld } from './server-world.ts';
export type { UpdateRecord } from './update-record.ts';
export type * from './world.ts';
