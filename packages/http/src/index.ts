/**
 * The HTTP API of a world of ranks.
 *
 * @packageDocumentation
 */
export { createHttpApi, type HttpApi, type HttpApiOptions } from './create-http-api.ts';
export type * from './world.ts';
