import { listCudaDevices } from '@checkpoint-engine/device';

/** GPUs of this machine. Throws where there is none, with the reason. */
export async function countGpus(): Promise<number> {
  const found = await listCudaDevices();
  if (!found.available) throw new Error(`No GPU: ${found.reason}`);
  return found.devices.length;
}
