// A custom server: with your transport, your requests to the engine, and your handling of events. This example has two
// ranks and two workers in one process; with several processes the calls are the same.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createHostDevice } from '@checkpoint-engine/device';
import { connectStore, ParameterServer, startStoreServer, v2Protocol } from '@checkpoint-engine/ps';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';
import { throughStore } from './through-store.mjs';

const devices = [await createHostDevice({ index: 0 }), await createHostDevice({ index: 1 })];
const workers = devices.map((device) => copyingWorker({ device }));
const tensors = Array.from({ length: 12 }, (_, layer) => {
  return { name: `layers.${layer}.weight`, dtype: 'F32', shape: [256, 256], bytes: randomBytes(256 * 256 * 4) };
});

// The rendezvous, on a free port. If it is reachable from other hosts, use a token.
const rendezvous = await startStoreServer({ host: '127.0.0.1', port: 0, worldSize: 2 });

async function runRank(rank) {
  const store = await connectStore({ rank, worldSize: 2, address: rendezvous.address });
  const server = await ParameterServer.create({
    store,
    device: devices[rank],
    broadcast: throughStore(),
    protocol: v2Protocol(),
  });
  await server.registerCheckpoint('step-1', { tensors: rank === 0 ? tensors : [] }); // rank 1 owns no tensors
  await server.gatherMetas('step-1');
  const { bucketCount } = await server.update('step-1', { requestEngine, bucketBytes: 2 ** 20 });
  await server.close();
  await store.close();
  return bucketCount;
}

// The engine: on the request of rank 0, each of its workers receives from the parameter server of its device.
async function requestEngine({ handles, signal }) {
  const receive = async (device, index) =>
    workers[index].receive(await receiveUpdate(handles[device.uuid], { device, signal }));
  await Promise.all(devices.map(receive));
}

const [bucketCount] = await Promise.all([runRank(0), runRank(1)]);
await rendezvous.close();
for (const worker of workers) {
  for (const { name, bytes } of tensors) assert.ok(bytes.equals(worker.tensors.get(name).bytes()), `${name} differs`);
  await worker.close();
}
for (const device of devices) await device.close();
console.log(`2 workers hold ${tensors.length} tensors, sent through the store in ${bucketCount} buckets`);
