import { createCudaDevice, createHostDevice, listCudaDevices } from '@checkpoint-engine/device';
import { CheckpointEngineError, type Device } from '@checkpoint-engine/interface';
import type { RankIdentity } from '../config/environment.ts';
import type { DeviceKind } from '../config/jobs.ts';

/**
 * What `--device` means on this machine. `auto` takes GPUs where there are any.
 *
 * @param rankCount Ranks that this machine is to run.
 * @throws {CheckpointEngineError} `CE_DEVICE_UNAVAILABLE`: there are fewer GPUs than ranks.
 */
export async function resolveDeviceKind(device: DeviceKind | 'auto', rankCount: number): Promise<DeviceKind> {
  if (device === 'host') return 'host';
  const gpuCount = await countGpus();
  if (device === 'auto' && gpuCount === 0) return 'host';
  if (gpuCount >= rankCount) return 'cuda';
  throw new CheckpointEngineError(
    'CE_DEVICE_UNAVAILABLE',
    `${rankCount} ranks need as many GPUs, this machine has ${gpuCount}`,
    gpuCount === 0
      ? 'Run "checkpoint-engine doctor" to see why no GPU is found, or use --device host'
      : `Use --nproc-per-node ${gpuCount}, or --device host`,
  );
}

/** GPUs that this process can use. */
export async function countGpus(): Promise<number> {
  const cuda = await listCudaDevices();
  return cuda.available ? cuda.devices.length : 0;
}

/**
 * Which of this host's devices a rank uses. Where its launcher does not say, ranks are taken to be numbered host by host,
 * one for each GPU.
 */
export async function localRankOf({ rank, localRank }: RankIdentity, kind: DeviceKind): Promise<number> {
  if (localRank !== undefined) return localRank;
  const gpuCount = kind === 'cuda' ? await countGpus() : 0;
  return gpuCount > 0 ? rank % gpuCount : rank;
}

/** The device of a rank. */
export async function openDevice(kind: DeviceKind, localRank: number): Promise<Device> {
  try {
    return await (kind === 'cuda' ? createCudaDevice({ index: localRank }) : createHostDevice({ index: localRank }));
  } catch (error) {
    if (!CheckpointEngineError.isInstance(error) || error.code !== 'CE_SHM_FAILED') throw error;
    const hint = 'Mount a tmpfs at /dev/shm: in a container, do not mount something else there';
    throw new CheckpointEngineError(error.code, error.message, hint, { op: error.op, cause: error });
  }
}
