import { readdirSync } from 'node:fs';
import process from 'node:process';
import { createCudaDevice } from '@checkpoint-engine/device';
import type { Device } from '@checkpoint-engine/interface';
import { v1Protocol } from '@checkpoint-engine/ps';
import { expectCode, Harness } from './harness.ts';

/** What `bench checks` is asked to do. */
export interface ChecksScenarioOptions {
  /** A checkpoint of a few gigabytes at most. */
  readonly dir: string;
  /** Folder of python/make_lm.py. */
  readonly lmDir: string;
  readonly python: string;
}

/** Checks on a real GPU what can only be seen there: faults, leaks, a real language model. */
export async function checksScenario(options: ChecksScenarioOptions): Promise<boolean> {
  const device = await createCudaDevice({ index: 0 });
  const harness = await Harness.start(device, options.dir, options.python);
  let failed = 0;
  const check = async (name: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
      process.stdout.write(`ok    ${name}\n`);
    } catch (error) {
      failed += 1;
      process.stdout.write(`FAIL  ${name}: ${error instanceof Error ? error.stack : String(error)}\n`);
    }
  };
  try {
    await check('an update brings every byte', () => harness.works());
    await check('a worker that raises in bucket 3', async () => {
      await harness.engine.plantFault({ kind: 'raise', bucket: 3 });
      const error = await harness.failure(10_000);
      expectCode(error, 'CE_WORKER_FAILED', 'CE_ENGINE_FAILED');
      if (!`${error.message} ${error.detail}`.includes('planted fault')) throw new Error('the traceback is missing');
      await harness.works();
    });
    await check('an engine that answers 500', async () => {
      await harness.engine.plantFault({ kind: 'status', status: 500 });
      expectCode(await harness.failure(1_500), 'CE_ENGINE_FAILED');
      await harness.works();
    });
    await check('a worker that is killed in bucket 3', async () => {
      await harness.engine.plantFault({ kind: 'exit', bucket: 3 });
      expectCode(await harness.failure(15_000), 'CE_WORKER_LOST', 'CE_ENGINE_UNREACHABLE', 'CE_ENGINE_FAILED');
      await harness.restartEngine();
      await harness.works();
    });
    await check('a handle that no worker can open', () => wrongHandle(harness));
    await check('device memory that is full', () => fullDevice(device, harness));
    await check('two servers on one GPU', () => twoServers(harness, options.python));
    await check('20 updates leave memory, files and /dev/shm where they were', () => noGrowth(device, harness));
  } finally {
    await harness.end();
  }
  await check('a language model gives the logits of the new weights', () => languageModel(device, options));
  await device.close();
  process.stdout.write(failed === 0 ? 'all checks passed\n' : `${failed} checks FAILED\n`);
  return failed === 0;
}

async function wrongHandle(harness: Harness): Promise<void> {
  const protocol = v1Protocol();
  const error = await harness.failure(10_000, {
    protocol: {
      ...protocol,
      async createSession(options) {
        const session = await protocol.createSession(options);
        const open = session.open.bind(session);
        session.open = (buffer, waiting) =>
          open({ ...buffer, sizeBytes: buffer.sizeBytes, handle: new Uint8Array(64).fill(7) }, waiting);
        return session;
      },
    },
  });
  expectCode(error, 'CE_WORKER_FAILED', 'CE_ENGINE_FAILED');
  await harness.works();
}

async function fullDevice(device: Device, harness: Harness): Promise<void> {
  const { freeBytes } = device.memoryInfo();
  const hog = await device.allocate(freeBytes - 24 * 2 ** 20);
  try {
    expectCode(await harness.failure(10_000), 'CE_PLAN_MEMORY_TOO_SMALL', 'CE_DEVICE_OUT_OF_MEMORY');
  } finally {
    hog.close();
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  await harness.works();
}

async function twoServers(harness: Harness, python: string): Promise<void> {
  const device = await createCudaDevice({ index: 0 });
  const other = await Harness.start(device, harness.folder, python);
  try {
    // Their addresses may be the same: then one of them says so, at once. Otherwise both work.
    const outcomes = await Promise.allSettled([harness.update(), other.update()]);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') {
        process.stdout.write(`      ${outcome.reason.code}: ${outcome.reason.message.slice(0, 160)}\n`);
        expectCode(outcome.reason, 'CE_ADDRESS_IN_USE');
      }
    }
    await harness.works();
    await other.works();
  } finally {
    await other.end();
    await device.close();
  }
}

async function noGrowth(device: Device, harness: Harness): Promise<void> {
  const look = async (): Promise<Record<string, number>> => ({
    deviceUsed: device.memoryInfo().totalBytes - device.memoryInfo().freeBytes,
    ourFiles: readdirSync('/proc/self/fd').length,
    engineFiles: (await harness.engine.stats()).open_files,
    shm: readdirSync('/dev/shm').length,
  });
  await harness.update();
  const before = await look();
  for (let round = 0; round < 20; round++) await harness.update();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const after = await look();
  process.stdout.write(`      before ${JSON.stringify(before)}, after ${JSON.stringify(after)}\n`);
  for (const [name, value] of Object.entries(after)) {
    if (value > before[name]! + (name === 'deviceUsed' ? 4 * 2 ** 20 : 1)) throw new Error(`${name} grew`);
  }
}

/** The engine starts with weights A and answers; after the update its logits equal those of a fresh model with B. */
async function languageModel(device: Device, { lmDir, python }: ChecksScenarioOptions): Promise<void> {
  const harness = await Harness.start(device, `${lmDir}/b`, python, ['--causal-lm', `${lmDir}/a`]);
  try {
    const before = await harness.engine.compareLm(`${lmDir}/b`);
    if (before.equal) throw new Error('the models were equal before the update');
    await harness.update();
    const after = await harness.engine.compareLm(`${lmDir}/b`);
    process.stdout.write(
      `      largest difference of logits ${before.largest_difference} before, ${after.largest_difference} after\n`,
    );
    if (!after.equal || !after.same_tokens) throw new Error('the logits differ after the update');
  } finally {
    await harness.end();
  }
}
