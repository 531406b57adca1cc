// A worker process for tests: receives one update and reports events as JSON lines.
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';

const [address, flags = '{}'] = process.argv.slice(2);
const { throwAt, hangAt, hookError, viewOnly } = JSON.parse(flags);
const tell = (event, fields = {}) => process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
const isMapped = () => /\/dev\/shm\/checkpoint-engine/.test(readFileSync('/proc/self/maps', 'utf8'));

/** Memory that was closed is unmapped by another thread, a moment later. */
const staysMapped = async () => {
  for (let tries = 0; tries < 1_000 && isMapped(); tries += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  return isMapped();
};

const device = await createHostDevice();
const worker = copyingWorker({ device });
try {
  const update = await receiveUpdate(address, { device });
  tell('open', { mapped: isMapped() });
  if (viewOnly) {
    const sums = {};
    for await (const tensor of update) sums[tensor.name] = tensor.bytes.reduce((sum, byte) => sum + byte, 0);
    await update.finished();
    tell('sums', { sums });
  } else {
    await update.forEachBucket(async (tensors, index) => {
      tell('bucket', { index });
      if (index === throwAt) throw new Error(`cannot take bucket ${index}`);
      if (index === hangAt)
        await new Promise((_, reject) => update.signal.addEventListener('abort', () => reject(update.signal.reason)));
      await worker.copyBucket(tensors);
    });
    await update.finished(async () => {
      if (hookError) throw new Error(hookError);
      tell('hook', { mapped: await staysMapped() });
    });
    tell('digests', { digests: Object.fromEntries(await worker.digests()) });
  }
} catch (error) {
  tell('failed', { code: error.code, message: error.message, mapped: await staysMapped() });
}
await worker.close();
await device.close();
tell('closed', { mapped: isMapped() });
