/**
 * Broadcast between GPUs over NCCL. The package opens NCCL at run time; installing and importing it does not require
 * NCCL.
 *
 * @packageDocumentation
 */
export { type NcclLibrary, ncclAvailability, ncclCandidates, openNccl } from './library.ts';
export { nccl } from './nccl.ts';
