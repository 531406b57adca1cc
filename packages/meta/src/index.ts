/**
 * Dtypes, tensor metadata, safetensors headers and the metas codec.
 *
 * @packageDocumentation
 */
export * from './block-digests.ts';
export type { CheckpointIndex } from './checkpoint-index.ts';
export * from './dtype.ts';
export * from './encode-safetensors-header.ts';
export { unreadableFile } from './file-errors.ts';
export { changedFile, changeOf, fileStateOf, isSameFile } from './file-state.ts';
export { checkRankMetas } from './metas-check.ts';
export * from './metas-codec.ts';
export { checkDigests } from './metas-digests.ts';
export type * from './parameter-meta.ts';
export * from './read-checkpoint.ts';
export * from './read-safetensors-header.ts';
export type * from './safetensors-file.ts';
export { type HeaderSource, parseSafetensorsHeader } from './safetensors-header.ts';
export * from './tensor-bytes.ts';
export * from './torch-type.ts';
