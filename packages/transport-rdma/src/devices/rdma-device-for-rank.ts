import { CheckpointEngineError } from '@checkpoint-engine/interface';

/**
 * The RDMA device of a rank, or several joined by commas. Neighbouring ranks share a device where there are fewer
 * devices than GPUs; a rank takes neighbouring devices where there are more.
 *
 * @param localRank The rank on its host, 0 and up.
 * @param gpuCount  Ranks of the host, one a GPU.
 * @param devices   Devices of the host, in the order in which they lie near its GPUs.
 * @throws `CE_CONFIG_INVALID` when there is no device, or when neither count divides the other.
 */
export function rdmaDeviceForRank(localRank: number, gpuCount: number, devices: readonly string[]): string {
  if (!Number.isSafeInteger(gpuCount) || gpuCount < 1) throw new RangeError(`gpuCount must be 1 or more: ${gpuCount}`);
  if (!Number.isSafeInteger(localRank) || localRank < 0 || localRank >= gpuCount) {
    throw new RangeError(`localRank must be 0 to ${gpuCount - 1}: ${localRank}`);
  }
  if (devices.length === 0) throw wrongDevices('There is no RDMA device to choose');
  if (devices.length >= gpuCount && devices.length % gpuCount === 0) {
    const each = devices.length / gpuCount;
    return devices.slice(localRank * each, (localRank + 1) * each).join(',');
  }
  if (gpuCount % devices.length === 0) return devices[Math.floor(localRank / (gpuCount / devices.length))]!;
  throw wrongDevices(
    `${devices.length} RDMA devices (${devices.join(', ')}) cannot be shared out evenly among ${gpuCount} GPUs`,
  );
}

/** An error about the choice of devices, with the variables that make it. */
export function wrongDevices(what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    what,
    'Name the devices in PS_P2P_STORE_RDMA_DEVICES (mlx5_0,mlx5_1) or select them with NCCL_IB_HCA, so that their number divides the number of GPUs or is a multiple of it',
  );
}
