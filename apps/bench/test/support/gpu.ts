import process from 'node:process';
import { listCudaDevices } from '@checkpoint-engine/device';

/**
 * Returns and prints the reason why tests on GPUs are skipped; `undefined` if they run.
 *
 * @throws Without a GPU if `REQUIRE_GPU` is 1.
 */
export async function noGpu(): Promise<string | undefined> {
  const found = await listCudaDevices();
  const reason = !found.available ? found.reason : found.devices.length === 0 ? 'no GPU is visible' : undefined;
  if (reason !== undefined && process.env.REQUIRE_GPU === '1') throw new Error(`REQUIRE_GPU=1, but: ${reason}`);
  if (reason !== undefined) console.warn(`skipped: tests on GPUs: ${reason}`);
  return reason;
}
