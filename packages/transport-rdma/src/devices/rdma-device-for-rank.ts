import { CheckpointEngineError } from '@checkpoint-engine/interface';

/**
 * Returns the RDMA device of a rank, or several joined by commas. If there are fewer devices than GPUs, neighboring
 * ranks share a device; if there are more, a rank uses neighboring devices.
 *
 * @param localRank The rank on its host, 0 and up.
 * @param gpuCount  Number of ranks on the host, one per GPU.
 * @param devices   Devices of the host, in the order of their nearest GPUs.
 * @throws `CE_CONFIG_INVALID` if there is no device, or if neither count divides the other.
 */
export function rdmaDeviceForRank(localRank: number, gpuCount: number, devices: readonly string[]): string {
  if (!Number.isSafeInteger(gpuCount) || gpuCount < 1) throw new RangeError(`gpuCount must be 1 or more: ${gpuCount}`);
  if (!Number.isSafeInteger(localRank) || localRank < 0 || localRank >= gpuCount) {
    throw new RangeError(`localRank must be 0 to ${gpuCount - 1}: ${localRank}`);
  }
  if (devices.length === 0) throw wrongDevices('This host has no RDMA device to choose');
  if (devices.length >= gpuCount && devices.length % gpuCount === 0) {
    const each = devices.length / gpuCount;
    return devices.slice(localRank * each, (localRank + 1) * each).join(',');
  }
  if (gpuCount % devices.length === 0) return devices[Math.floor(localRank / (gpuCount / devices.length))]!;
  throw wrongDevices(
    `${devices.length} RDMA devices (${devices.join(', ')}) cannot be divided evenly among ${gpuCount} GPUs`,
  );
}

/** Creates an error about the choice of devices; the hint has the variables that determine it. */
export function wrongDevices(what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    what,
    'List the devices in PS_P2P_STORE_RDMA_DEVICES (mlx5_0,mlx5_1) or select them with NCCL_IB_HCA, so that their number divides the number of GPUs or is a multiple of it',
  );
}
