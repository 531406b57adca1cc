// Bytes from one GPU to all others, over NCCL and without a parameter server. This example uses one process, with one
// rank per GPU.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import process from 'node:process';
import { createCudaDevice, listCudaDevices } from '@checkpoint-engine/device';
import { connectStore, startStoreServer } from '@checkpoint-engine/ps';
import { nccl, ncclAvailability } from '@checkpoint-engine/transport-nccl';

const SIZE_BYTES = 64 * 2 ** 20;

const gpus = await listCudaDevices();
const library = await ncclAvailability();
if (!gpus.available || !library.available) {
  console.log(`Missing: ${gpus.available ? library.reason : gpus.reason}`);
  process.exit();
}

const worldSize = gpus.devices.length;
const rendezvous = await startStoreServer({ port: 0, worldSize });
const weights = randomBytes(SIZE_BYTES);

async function runRank(rank) {
  const store = await connectStore({ rank, worldSize, address: rendezvous.address });
  const device = await createCudaDevice({ index: rank });
  const transport = nccl();
  const group = await transport.join({ store: store.epoch('group'), device });

  // Shared memory of the GPU, into which rank 0 puts the weights.
  const memory = await device.allocateShared(SIZE_BYTES);
  const host = await device.allocateHost(SIZE_BYTES);
  const [onDevice, onHost] = [memory, host].map((it) => ({ memory: it, offsetBytes: 0, sizeBytes: SIZE_BYTES }));
  const stream = device.createStream('copies');
  if (rank === 0) {
    await host.write(0, weights);
    await stream.copy([{ from: onHost, to: onDevice }]);
  }
  await group.broadcast(0, { target: onDevice });
  if (rank !== 0) await stream.copy([{ from: onDevice, to: onHost }]);
  assert.ok(weights.equals(host.view(0, SIZE_BYTES)), `rank ${rank} has different bytes`);

  await stream.close();
  await transport.close();
  await device.close();
  await store.close();
}

await Promise.all(Array.from({ length: worldSize }, (_, rank) => runRank(rank)));
await rendezvous.close();
console.log(`${worldSize} GPUs hold the ${SIZE_BYTES} bytes of GPU 0`);
