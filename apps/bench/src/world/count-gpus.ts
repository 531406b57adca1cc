import { listCudaDevices } from '@checkpoint-engine/device';

/** The number of GPUs of this machine. Throws with the reason if there are none. */
export async function countGpus(): Promise<number> {
  const found = await listCudaDevices();
  if (!found.available) throw new Error(`No GPU: ${found.reason}`);
  return found.devices.length;
}
