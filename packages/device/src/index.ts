/**
 * Memory and copies behind the `Device` contract: shared buffers, pools read from files, asynchronous copies.
 *
 * @packageDocumentation
 */
export { detachView, isHostMemory, isSharedMemory } from './device-memory.ts';
export {
  createHostDevice,
  defaultSharedDirectory,
  type HostDevice,
  type HostDeviceOptions,
  type SharedHostMemory,
  sweepShared,
} from './host-device.ts';
