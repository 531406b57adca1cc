import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import type { NamedTensor } from '@checkpoint-engine/ps';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeTensors } from './support/checkpoint.ts';
import { expected, modelTensors, tensorParallel } from './support/pull-world.ts';
import { type TestUpdate, World, type WorldOptions } from './support/world.ts';

let world: World;
let folder: string;
let tensors: NamedTensor[];

async function write(path: string, seed: number): Promise<void> {
  tensors = modelTensors(seed, 4);
  await writeTensors(path, tensors);
}

async function ready(size: number, options: WorldOptions = {}, source: object = {}): Promise<void> {
  world = await World.start(size, { sharePools: true, pull: {}, ...options });
  await register(1, source);
}

/** Registers other weights than before. */
async function register(seed: number, source: object = {}): Promise<void> {
  const path = join(folder, `${seed}.safetensors`);
  await write(path, seed);
  await world.register('a', { files: path, ...source });
  await world.gather('a');
}

async function expectUpdateWorks(options: TestUpdate = {}): Promise<void> {
  const results = await world.update('a', options);
  for (const result of results) expect(result).toMatchObject({ method: 'pull' });
  for (let index = 0; index < world.size; index++) {
    expect(await world.digests(index)).toEqual(expected(tensors, tensorParallel(index, world.size)));
  }
  expect(world.passed).toEqual(world.planned);
}

/** Registers other weights, so that the bytes of an earlier update are detected. */
async function expectOthersWork(seed: number, source: object = {}): Promise<void> {
  await world.onAll((rank) => rank.call('unregister', { name: 'a' }));
  await register(seed, source);
  await expectUpdateWorks();
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'checkpoint-engine-test-'));
});
afterEach(async () => {
  await world?.end();
  await rm(folder, { recursive: true, force: true });
});

describe('a pull over real processes', () => {
  it('that fails in a worker names it on every rank, and the next update is right', async () => {
    await ready(2);
    await world.workers[1]!.call('plant', { kind: 'throw', pull: 0 });
    const errors = await world.failedUpdate('a');
    expect(errors).toHaveLength(2);
    for (const error of errors) {
      expect(error).toMatchObject({ code: 'CE_WORKER_FAILED', rank: 1 });
      expect(`${error.message} ${error.detail}`).toMatch(/planted fault/);
    }
    await world.workers[1]!.call('plant', null);
    await expectUpdateWorks();
    await expectOthersWork(2);
  });

  it.each([{}, { stream: true }])('detects a worker that is killed, and works with a new one (%o)', async (source) => {
    await ready(2, {}, source);
    await world.workers[1]!.call('plant', { kind: 'exit', pull: 0 });
    for (const error of await world.failedUpdate('a', { bucketBytes: 8192 })) {
      expect(['CE_WORKER_LOST', 'CE_ENGINE_FAILED']).toContain(error.code);
    }
    await world.startWorker(1, [], {});
    await expectOthersWork(2, source);
  });

  it('ends with its time-out when a worker is frozen; the worker then takes the next update', async () => {
    await ready(2);
    const { pid } = world.workers[0]!.process;
    await world.workers[0]!.call('plant', { kind: 'stop', pull: 0 });
    for (const error of await world.failedUpdate('a', { timeoutMs: 1_500 })) {
      expect(['CE_TIMEOUT', 'CE_WORKER_TIMEOUT']).toContain(error.code);
    }
    process.kill(pid!, 'SIGCONT');
    await world.workers[0]!.call('plant', null);
    await expectOthersWork(3);
  });

  it('fails with a rank that is killed while workers pull; a restarted rank takes part again', async () => {
    await ready(2, { lostAfterMs: 2_000 });
    await world.workers[1]!.call('plant', { kind: 'hold', pull: 0 });
    const updating = world.failedUpdate('a');
    await world.workers[1]!.call('held');
    await world.ranks[0]!.kill();
    await world.workers[1]!.call('plant', null);
    for (const error of await updating) expect(['CE_RANK_LOST', 'CE_STORE_UNREACHABLE']).toContain(error.code);
  });

  it('is aborted while a worker copies: the pool does not change until the copy is done', async () => {
    await ready(2);
    await world.workers[1]!.call('plant', { kind: 'hold', pull: 0 });
    const updating = world.failedUpdate('a');
    await world.workers[1]!.call('held');
    await world.onAll((rank) => rank.call('abort'));
    for (const error of await updating) expect(error.code).toBe('CE_ABORTED');
    await world.workers[1]!.call('plant', null);
    await expectUpdateWorks();
    await expectOthersWork(4);
  });
});
