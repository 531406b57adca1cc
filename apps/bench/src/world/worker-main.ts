// One of our workers: takes every tensor, sends digests to the parent on request, and corrupts tensors on request.
import process from 'node:process';
import { createCudaDevice, createHostDevice } from '@checkpoint-engine/device';
import { copyingWorker, serveWorker } from '@checkpoint-engine/worker';

const STEP_BYTES = 2 ** 30;

const [index, socket, kind] = process.argv.slice(2) as [string, string, 'cuda' | undefined];
const createDevice = kind === 'cuda' ? createCudaDevice : createHostDevice;
const device = await createDevice({ index: Number(index) });
const worker = copyingWorker({ device });
const server = await serveWorker({ devices: [device], onUpdate: worker.receive, listen: { path: socket } });
process.on('message', async (message) => {
  if (message === 'digests') process.send!(Object.fromEntries(await worker.digests()));
  if (message === 'corrupt') {
    for (const tensor of worker.tensors.values()) {
      for (let at = 0; at < tensor.sizeBytes; at += STEP_BYTES) {
        tensor.bytes(at, Math.min(STEP_BYTES, tensor.sizeBytes - at)).fill(0x5a);
      }
    }
    process.send!('corrupted');
  }
  if (message === 'stop') {
    await server.close();
    await worker.close();
    await device.close();
    process.disconnect();
  }
});
// The worker ends with its parent.
process.on('disconnect', () => process.exit());
process.send!('ready');
