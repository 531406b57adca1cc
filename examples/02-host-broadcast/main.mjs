// A complete update without a GPU: two ranks each hold half of a model, broadcast to each other over shared memory, and
// load all of it into two workers. This example uses one process; with several processes the calls are the same.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createHostDevice } from '@checkpoint-engine/device';
import { openStore, ParameterServer, v2Protocol } from '@checkpoint-engine/ps';
import { shm } from '@checkpoint-engine/transport-shm';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';

const masterPort = await freePort();
const devices = [await createHostDevice({ index: 0 }), await createHostDevice({ index: 1 })];

// The engine has a worker for each device, which copies the tensors. A real worker would load them into its model.
const workers = devices.map((device) => copyingWorker({ device }));

// The request to the engine sends each worker the address of its parameter server. Over HTTP, `workerEngine` does this.
async function requestEngine({ handles, signal }) {
  const receive = async (device, index) => {
    const update = await receiveUpdate(handles[device.uuid], { device, signal });
    await workers[index].receive(update);
  };
  await Promise.all(devices.map(receive));
}

// The new weights. In a real setup, the process of the first rank would never hold the second half.
const weights = Array.from({ length: 32 }, (_, layer) => {
  return { name: `layers.${layer}.weight`, dtype: 'F32', shape: [256, 1024], bytes: randomBytes(256 * 1024 * 4) };
});

async function runRank(rank) {
  const device = devices[rank];
  const store = await openStore({ rank, worldSize: 2, masterPort }); // rank 0 hosts it, rank 1 connects
  const server = await ParameterServer.create({ store, device, broadcast: shm(), protocol: v2Protocol() });
  await server.registerCheckpoint('step-1', { tensors: weights.slice(rank * 16, rank * 16 + 16) });
  await server.gatherMetas('step-1'); // now each rank knows the tensors of the other
  const result = await server.update('step-1', { requestEngine, bucketBytes: 4 * 2 ** 20 });
  await server.close();
  await store.close();
  return result;
}

const [{ bucketCount, totalBytes }] = await Promise.all([runRank(0), runRank(1)]);
for (const worker of workers) {
  for (const { name, bytes } of weights) assert.ok(bytes.equals(worker.tensors.get(name).bytes()), `${name} differs`);
  await worker.close();
}
for (const device of devices) await device.close();
console.log(`${workers.length} workers hold ${weights.length} tensors, ${totalBytes} bytes in ${bucketCount} buckets`);

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  return port;
}
