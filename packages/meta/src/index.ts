/**
 * Dtypes, tensor metadata, safetensors headers and the metas codec.
 *
 * @packageDocumentation
 */
export * from './dtype.ts';
export type * from './parameter-meta.ts';
