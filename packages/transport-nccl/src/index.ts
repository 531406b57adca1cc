/**
 * Broadcast between GPUs over NCCL, which is opened at run time: nothing of it is needed to install or import this.
 *
 * @packageDocumentation
 */
export { type NcclLibrary, ncclAvailability, ncclCandidates, openNccl } from './library.ts';
export { nccl } from './nccl.ts';
