// The suite on real GPUs. Without a GPU it is skipped with a notice; REQUIRE_GPU=1 makes that a failure. LARGE_MEMORY=1 adds a
// range of more than 4 GiB.
import { listCudaDevices } from '@checkpoint-engine/device';
import { broadcastSuite, processes } from '@checkpoint-engine/transport-compliance';
import { ncclAvailability } from '@checkpoint-engine/transport-nccl';
import * as runner from 'vitest';
import { skip } from './skips.ts';

const found = await listCudaDevices();
const library = ncclAvailability();
const gpus = found.available ? found.devices.length : 0;
const reason = !found.available
  ? found.reason
  : gpus === 0
    ? 'no GPU is visible'
    : library.available
      ? ''
      : library.reason;

if (reason === '') {
  const factory = new URL('./member.js', import.meta.url);
  // Ranks that share a GPU take turns at it.
  const shared = gpus < 2 ? { maxRanks: 3, patienceMs: 120_000, abortMs: 10_000 } : { maxRanks: Math.min(gpus, 4) };
  const largeMemory = process.env.LARGE_MEMORY === '1';
  broadcastSuite({ runner, name: 'nccl', factory, largeMemory, world: processes(), skip, ...shared });
} else {
  if (process.env.REQUIRE_GPU === '1') throw new Error(`REQUIRE_GPU=1, but NCCL cannot be tested: ${reason}`);
  console.warn(`skipped: nccl on GPUs: ${reason}`);
  runner.describe.skip(`nccl on GPUs: ${reason}`, () => {});
}
