// One worker in a separate process that the test controls. A fault {kind: 'throw' | 'exit' | 'freeze' | 'hold', bucket} is
// acted out when that bucket arrives; one that is held waits for the next `plant`.
import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { toCheckpointEngineError } from '@checkpoint-engine/interface';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';

const device = await createHostDevice({ index: Number(process.argv[2]) });
const worker = copyingWorker({ device });
let fault;
let onHeld;
let letGo;
let held;

/** Blocks the update until the test releases it, or it ends elsewhere. */
async function hold({ signal }) {
  onHeld();
  await new Promise((resolve, reject) => {
    letGo = resolve;
    signal.addEventListener('abort', () => reject(signal.reason));
  });
}

const calls = {
  async receive({ address }) {
    const update = await receiveUpdate(address, { device });
    let bucket = 0;
    await update.forEachBucket(async (tensors) => {
      if (fault?.bucket === bucket++) {
        if (fault.kind === 'throw') throw new Error('planted fault: this worker throws');
        if (fault.kind === 'exit') process.kill(process.pid, 'SIGKILL');
        if (fault.kind === 'freeze') await new Promise(() => {});
        if (fault.kind === 'hold') await hold(update);
      }
      await worker.copyBucket(tensors);
    });
    await update.finished();
  },
  plant: async (planted) => {
    fault = planted ?? undefined;
    letGo?.();
    held = new Promise((resolve) => {
      onHeld = resolve;
    });
  },
  /** Resolves when the bucket to hold has arrived. */
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
