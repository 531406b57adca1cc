// One worker that keeps tensor-parallel slices, in a separate process that the test controls. A fault {kind: 'throw' |
// 'exit' | 'freeze' | 'hold', pull} is acted out at that pull; 'stop' stops the process until the test has it go on.
import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { toCheckpointEngineError } from '@checkpoint-engine/interface';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';
import { tensorParallel } from './tensor-parallel.mjs';

const [, , index, size, options = '{}'] = process.argv;
const { inBuckets = [], parallelSize = Number(size), ...others } = JSON.parse(options);
const device = await createHostDevice({ index: Number(index), threads: 2 });
const keep = tensorParallel(Number(index) % parallelSize, parallelSize);
const worker = copyingWorker({ device, keep, inBuckets: ({ name }) => inBuckets.includes(name), ...others });
const { puller } = worker;
const pull = puller.pull.bind(puller);
let fault;
let pulls = 0;
let onHeld;
let letGo;
let held;

puller.pull = async (places) => {
  if (fault?.pull === pulls++) {
    if (fault.kind === 'throw') throw new Error('planted fault: this worker throws');
    if (fault.kind === 'exit') process.kill(process.pid, 'SIGKILL');
    if (fault.kind === 'stop') process.kill(process.pid, 'SIGSTOP');
    if (fault.kind === 'hold') {
      onHeld();
      await new Promise((resolve) => {
        letGo = resolve;
      });
    }
  }
  return await pull(places);
};

const calls = {
  async receive({ address }) {
    pulls = 0;
    const update = await receiveUpdate(address, { device, puller });
    try {
      await worker.receive(update);
    } finally {
      await update.close();
    }
  },
  plant: async (planted) => {
    fault = planted ?? undefined;
    letGo?.();
    held = new Promise((resolve) => {
      onHeld = resolve;
    });
  },
  /** Resolves when the pull to hold has arrived. */
  held: () => held,
  digests: async () => Object.fromEntries(await worker.digests()),
  async close() {
    await worker.close();
    await device.close();
    setImmediate(() => process.disconnect());
  },
};

process.on('message', async ({ id, call, args }) => {
  try {
    process.send({ id, ok: (await calls[call](args)) ?? null });
  } catch (failure) {
    process.send({ id, error: toCheckpointEngineError(failure).toJSON() });
  }
});
process.on('disconnect', () => process.exit());
process.send('ready');
