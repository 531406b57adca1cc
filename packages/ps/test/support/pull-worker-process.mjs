// One worker that keeps tensor-parallel slices, in a separate process that the test controls. A fault {kind: 'throw' |
// 'exit' | 'freeze' | 'hold', pull} happens at that pull; 'stop' stops the process until the test continues it.
import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';
import { Fault, serveCalls } from './serve-calls.mjs';
import { tensorParallel } from './tensor-parallel.mjs';

const [, , index, size, options = '{}'] = process.argv;
const { inBuckets = [], parallelSize = Number(size), ...others } = JSON.parse(options);
const device = await createHostDevice({ index: Number(index), threads: 2 });
const keep = tensorParallel(Number(index) % parallelSize, parallelSize);
const worker = copyingWorker({ device, keep, inBuckets: ({ name }) => inBuckets.includes(name), ...others });
const { puller } = worker;
const pull = puller.pull.bind(puller);
const fault = new Fault();
let pulls = 0;

puller.pull = async (places) => {
  await fault.at({ pull: pulls++ });
  return await pull(places);
};

serveCalls({
  ...fault.calls,
  async receive({ address }) {
    pulls = 0;
    const update = await receiveUpdate(address, { device, puller });
    try {
      await worker.receive(update);
    } finally {
      await update.close();
    }
  },
  digests: async () => Object.fromEntries(await worker.digests()),
  async close() {
    await worker.close();
    await device.close();
    setImmediate(() => process.disconnect());
  },
});
