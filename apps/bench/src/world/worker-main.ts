// One worker of ours: takes every tensor, and tells the parent their digests when asked.
import process from 'node:process';
import { createCudaDevice, createHostDevice } from '@checkpoint-engine/device';
import { copyingWorker, serveWorker } from '@checkpoint-engine/worker';

const [index, socket, kind] = process.argv.slice(2) as [string, string, 'cuda' | undefined];
const createDevice = kind === 'cuda' ? createCudaDevice : createHostDevice;
const device = await createDevice({ index: Number(index) });
const worker = copyingWorker({ device });
const server = await serveWorker({ devices: [device], onUpdate: worker.receive, listen: { path: socket } });
process.on('message', async (message) => {
  if (message === 'digests') process.send!(Object.fromEntries(await worker.digests()));
  if (message === 'stop') {
    await server.close();
    await worker.close();
    await device.close();
    process.disconnect();
  }
});
process.send!('ready');
