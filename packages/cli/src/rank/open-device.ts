import { createCudaDevice, createHostDevice, listCudaDevices } from '@checkpoint-engine/device';
import { CheckpointEngineError, type Device } from '@checkpoint-engine/interface';
import type { RankIdentity } from '../config/environment.ts';
import type { DeviceKind } from '../config/requests.ts';

/**
 * Returns the device for `--device` on this machine. `auto` selects GPUs if there are any.
 *
 * @param rankCount Ranks to run on this machine.
 * @throws {CheckpointEngineError} `CE_DEVICE_UNAVAILABLE`: there are fewer GPUs than ranks.
 */
export async function resolveDeviceKind(device: DeviceKind | 'auto', rankCount: number): Promise<DeviceKind> {
  if (device === 'host') return 'host';
  const gpuCount = await countGpus();
  if (device === 'auto' && gpuCount === 0) return 'host';
  if (gpuCount >= rankCount) return 'cuda';
  throw new CheckpointEngineError(
    'CE_DEVICE_UNAVAILABLE',
    `${rankCount} ranks need ${rankCount} GPUs, but this machine has ${gpuCount}`,
    gpuCount === 0
      ? 'Run "checkpoint-engine doctor" to see why no GPU is found, or use --device host'
      : `Use --nproc-per-node ${gpuCount}, or --device host`,
  );
}

/** Returns the number of GPUs that this process can use. */
export async function countGpus(): Promise<number> {
  const cuda = await listCudaDevices();
  return cuda.available ? cuda.devices.length : 0;
}

/**
 * Returns the index of a rank's device on this host. Without `LOCAL_RANK`, the function assumes that ranks are numbered
 * host by host, one per GPU.
 */
export async function localRankOf({ rank, localRank }: RankIdentity, kind: DeviceKind): Promise<number> {
  if (localRank !== undefined) return localRank;
  const gpuCount = kind === 'cuda' ? await countGpus() : 0;
  return gpuCount > 0 ? rank % gpuCount : rank;
}

/** Opens the device of a rank. */
export async function openDevice(kind: DeviceKind, localRank: number): Promise<Device> {
  try {
    return await (kind === 'cuda' ? createCudaDevice({ index: localRank }) : createHostDevice({ index: localRank }));
  } catch (error) {
    if (!CheckpointEngineError.isInstance(error) || error.code !== 'CE_SHM_FAILED') throw error;
    const hint = 'Mount a tmpfs at /dev/shm: in a container, do not mount another file system there';
    throw new CheckpointEngineError(error.code, error.message, hint, { op: error.op, cause: error });
  }
}
