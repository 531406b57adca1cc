// What each member of the compliance suite over NCCL is made of. Rank r takes GPU r modulo their count.
import process from 'node:process';
import { createCudaDevice, listCudaDevices } from '@checkpoint-engine/device';
import type { BroadcastFactory } from '@checkpoint-engine/transport-compliance';
import { nccl } from '@checkpoint-engine/transport-nccl';
import { sharedGpu } from '../world/shared-gpu.ts';

export const broadcast: BroadcastFactory = async ({ rank, worldSize }) => {
  const found = await listCudaDevices();
  if (!found.available) throw new Error(found.reason);
  const gpus = found.devices.length;
  if (worldSize > gpus) Object.assign(process.env, sharedGpu(rank));
  return { device: await createCudaDevice({ index: rank % gpus }), transport: nccl() };
};
