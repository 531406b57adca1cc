import { rm, utimes } from 'node:fs/promises';
import type { CheckpointEngineError } from '@checkpoint-engine/interface';
import { decodeWorldMetas } from '@checkpoint-engine/meta';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';
import { FaultyDisk } from './support/faulty-disk.ts';
import { World, type WorldOptions } from './support/world.ts';

const MIB = 2 ** 20;
const SIZES = { bucketBytes: 2 * MIB };

let world: World;
let checkpoint: TestCheckpoint;
let disk: FaultyDisk;

beforeEach(async () => {
  disk = new FaultyDisk();
  const tensors = Array.from({ length: 32 }, (_, index) => {
    return { name: `layers.${index}`, dtype: 'BF16' as const, shape: [MIB] };
  });
  checkpoint = await writeCheckpoint(tensors, { shardCount: 2 });
});
afterEach(async () => {
  disk.does('ok');
  await world?.end();
  disk.remove();
  await checkpoint.remove();
});

/** Registers while the disk hangs: no byte is loaded when it resolves. */
async function registerStalled(size: number, options: WorldOptions = {}): Promise<void> {
  world = await World.start(size, { runner: disk.runner, ...options });
  disk.does('stall');
  await register();
}

async function register(): Promise<void> {
  await world.register('a', { files: checkpoint.folder, load: 'background' });
  await world.gather('a');
}

async function expectWeights(): Promise<void> {
  for (let index = 0; index < world.size; index++) expect(await world.digests(index)).toEqual(checkpoint.digests);
}

function expectAll(errors: readonly CheckpointEngineError[], wanted: object): void {
  expect(errors).toHaveLength(world.size);
  for (const error of errors) expect(error).toMatchObject(wanted);
}

describe('a checkpoint that is read in the background', () => {
  it('is sent to the engines while it is read; later updates read no file', async () => {
    await registerStalled(3);
    const updating = world.update('a', SIZES);
    disk.does('ok');
    await updating;
    await expectWeights();
    expect(world.passed).toEqual(world.planned);
    await rm(checkpoint.folder, { recursive: true });
    await world.onAll((rank) => rank.call('loaded', { name: 'a' }));
    await world.workers[0]!.end();
    await world.startWorker(0);
    await world.update('a', SIZES);
    await expectWeights();
  });

  it('is also loaded without an update', async () => {
    await registerStalled(2);
    const loaded = world.onAll((rank) => rank.call('loaded', { name: 'a' }));
    disk.does('ok');
    await loaded;
    await rm(checkpoint.folder, { recursive: true });
    await world.update('a', SIZES);
    await expectWeights();
  });

  it('fails the update with the name of the file if the disk fails; the next update continues', async () => {
    await registerStalled(2);
    const failing = world.failedUpdate('a', SIZES);
    disk.does('eio 1000000');
    const errors = await failing;
    expectAll(errors, { code: 'CE_FILE_UNREADABLE', status: 5 });
    expect(checkpoint.files).toContain(errors[0]!.file);
    disk.does('ok');
    await world.update('a', SIZES);
    await expectWeights();
  });

  it('fails the update if a file has changed, and works after it is registered again', async () => {
    await registerStalled(2);
    const [file] = checkpoint.files;
    const failing = world.failedUpdate('a', SIZES);
    await utimes(file!, new Date(), new Date(Date.now() + 5_000));
    disk.does('ok');
    expectAll(await failing, { code: 'CE_FILE_CHANGED', file });
    await world.onAll((rank) => rank.call('unregister', { name: 'a' }));
    await register();
    await world.update('a', SIZES);
    await expectWeights();
  });

  it('is updated after an update that was aborted or timed out while the disk hung', async () => {
    await registerStalled(2);
    expectAll(await world.failedUpdate('a', { ...SIZES, timeoutMs: 1_000 }), { code: 'CE_TIMEOUT' });
    const failing = world.failedUpdate('a', SIZES);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await world.ranks[1]!.call('abort');
    expectAll(await failing, { code: 'CE_ABORTED', rank: 1 });
    disk.does('ok');
    await world.update('a', SIZES);
    await expectWeights();
  });

  it('can be read by a joining world after it is loaded, and not before', async () => {
    await registerStalled(2, { p2p: 'shm' });
    const isOffered = async (): Promise<boolean[]> =>
      decodeWorldMetas(Buffer.from(await world.metas('a'), 'base64')).map(({ regions }) =>
        regions.some(({ remote }) => remote !== undefined),
      );
    expect(await isOffered()).toEqual([false, false]);
    const loaded = world.onAll((rank) => rank.call('loaded', { name: 'a' }));
    disk.does('ok');
    await loaded;
    await world.gather('a');
    expect(await isOffered()).toEqual([true, true]);
    const joining = await World.start(1, { p2p: 'shm' });
    try {
      await joining.load(await world.metas('a'));
      await joining.update('a', SIZES);
      expect(await joining.digests(0)).toEqual(checkpoint.digests);
    } finally {
      await joining.end();
    }
  });

  it('can be unregistered while it is loading', async () => {
    await registerStalled(1);
    const loaded = world.ranks[0]!.call('loaded', { name: 'a' });
    const closed = expect(loaded).rejects.toMatchObject({ code: 'CE_CLOSED' });
    await world.ranks[0]!.call('unregister', { name: 'a' });
    await closed;
    disk.does('ok');
    await register();
    await world.update('a', SIZES);
    await expectWeights();
  });
});
