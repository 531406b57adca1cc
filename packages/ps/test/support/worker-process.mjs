// One worker in a separate process that the test controls. A fault {kind: 'throw' | 'exit' | 'freeze' | 'hold', bucket}
// happens when that bucket arrives; 'hold' waits for the next `plant`.
import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';
import { Fault, serveCalls } from './serve-calls.mjs';

const device = await createHostDevice({ index: Number(process.argv[2]) });
const worker = copyingWorker({ device });
const fault = new Fault();

serveCalls({
  ...fault.calls,
  async receive({ address }) {
    const update = await receiveUpdate(address, { device });
    let bucket = 0;
    await update.forEachBucket(async (tensors) => {
      await fault.at({ bucket: bucket++ }, update);
      await worker.copyBucket(tensors);
    });
    await update.finished();
  },
  digests: async () => Object.fromEntries(await worker.digests()),
  async close() {
    await worker.close();
    await device.close();
    setImmediate(() => process.disconnect());
  },
});
