/**
 * Memory and copies behind the `Device` contract: shared buffers, pools read from files, asynchronous copies.
 *
 * @packageDocumentation
 */
export {
  type CudaDeviceInfo,
  type CudaDeviceOptions,
  type CudaDevices,
  createCudaDevice,
  listCudaDevices,
} from './cuda-device.ts';
export { defaultSharedDirectory } from './defaults.ts';
export { detachView } from './device-memory.ts';
export {
  createHostDevice,
  type HostDevice,
  type HostDeviceOptions,
  type SharedHostMemory,
  sweepShared,
} from './host-device.ts';
