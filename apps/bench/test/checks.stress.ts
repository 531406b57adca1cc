// Faults, leaks and a real language model on one GPU, with the unmodified worker of the Python tool. Takes 3 minutes.
// BENCH_PYTHON is a Python with torch, transformers and checkpoint-engine (python3).
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { benchCheckpoint } from '@checkpoint-engine/bench/checkpoints/bench-checkpoint';
import { createCudaDevice } from '@checkpoint-engine/device';
import type { Device } from '@checkpoint-engine/interface';
import { v1Protocol } from '@checkpoint-engine/ps';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { benchData } from './support/bench-data.ts';
import { noGpu } from './support/gpu.ts';
import { Harness } from './support/harness.ts';

const PYTHON = process.env.BENCH_PYTHON ?? 'python3';
const SCALE_BYTES = 3 * 2 ** 30;
const MAKE_LM = fileURLToPath(new URL('../python/make_lm.py', import.meta.url));

const missing = await noGpu();
const dataDir = benchData();

describe.skipIf(missing !== undefined)('an update of the Python worker on a GPU', { timeout: 180_000 }, () => {
  let device: Device;
  let harness: Harness;
  beforeAll(async () => {
    device = await createCudaDevice({ index: 0 });
    const { folder } = await benchCheckpoint({ model: 'qwen3-8b', scale: SCALE_BYTES, dataDir });
    harness = await Harness.start(device, folder, PYTHON);
  }, 180_000);
  afterAll(async () => {
    await harness?.end();
    await device?.close();
  });

  it('delivers every byte', () => harness.works());

  it('reports a worker that raises in bucket 3, with its traceback', async () => {
    await harness.engine.plantFault({ kind: 'raise', bucket: 3 });
    const error = await harness.failure(10_000);
    expect(error.code).toMatch(/^CE_(WORKER|ENGINE)_FAILED$/);
    expect(`${error.message} ${error.detail}`).toContain('planted fault');
    await harness.works();
  });

  it('reports an engine that answers 500', async () => {
    await harness.engine.plantFault({ kind: 'status', status: 500 });
    expect((await harness.failure(1_500)).code).toBe('CE_ENGINE_FAILED');
    await harness.works();
  });

  it('reports a worker that is killed in bucket 3', async () => {
    await harness.engine.plantFault({ kind: 'exit', bucket: 3 });
    expect((await harness.failure(15_000)).code).toMatch(/^CE_(WORKER_LOST|ENGINE_UNREACHABLE|ENGINE_FAILED)$/);
    await harness.restartEngine();
    await harness.works();
  });

  it('reports a handle that no worker can open', async () => {
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
    expect(error.code).toMatch(/^CE_(WORKER|ENGINE)_FAILED$/);
    await harness.works();
  });

  it('reports device memory that is full', async () => {
    const { freeBytes } = device.memoryInfo();
    const hog = await device.allocate(freeBytes - 24 * 2 ** 20);
    try {
      expect((await harness.failure(10_000)).code).toMatch(/^CE_(PLAN_MEMORY_TOO_SMALL|DEVICE_OUT_OF_MEMORY)$/);
    } finally {
      hog.close();
      await sleep(500);
    }
    await harness.works();
  });

  it('works next to a second server on the same GPU', async () => {
    const second = await createCudaDevice({ index: 0 });
    const other = await Harness.start(second, harness.folder, PYTHON);
    try {
      // Their addresses may be the same; then one of them fails at once. Otherwise both work.
      for (const outcome of await Promise.allSettled([harness.update(), other.update()])) {
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'CE_ADDRESS_IN_USE' });
      }
      await harness.works();
      await other.works();
    } finally {
      await other.end();
      await second.close();
    }
  });

  it('leaves memory, files and /dev/shm as they were after 20 updates', async () => {
    const look = async (): Promise<Record<string, number>> => ({
      deviceUsed: device.memoryInfo().totalBytes - device.memoryInfo().freeBytes,
      ourFiles: readdirSync('/proc/self/fd').length,
      engineFiles: (await harness.engine.stats()).open_files,
      shm: readdirSync('/dev/shm').length,
    });
    await harness.update();
    const before = await look();
    for (let round = 0; round < 20; round++) await harness.update();
    await sleep(500);
    for (const [name, value] of Object.entries(await look())) {
      const slack = name === 'deviceUsed' ? 4 * 2 ** 20 : 1;
      expect(value, name).toBeLessThanOrEqual(before[name]! + slack);
    }
  });
});

describe.skipIf(missing !== undefined)('a language model', () => {
  it('computes the logits of the new weights after an update', { timeout: 300_000 }, async () => {
    const lmDir = join(dataDir, 'lm');
    if (!existsSync(lmDir)) execFileSync(PYTHON, [MAKE_LM, '--dir', lmDir]);
    const device = await createCudaDevice({ index: 0 });
    const harness = await Harness.start(device, join(lmDir, 'b'), PYTHON, ['--causal-lm', join(lmDir, 'a')]);
    try {
      expect(await harness.engine.compareLm(join(lmDir, 'b'))).toMatchObject({ equal: false });
      await harness.update();
      expect(await harness.engine.compareLm(join(lmDir, 'b'))).toMatchObject({ equal: true, same_tokens: true });
    } finally {
      await harness.end();
      await device.close();
    }
  });
});
