import { readdirSync } from 'node:fs';
import { rename, stat, truncate, utimes } from 'node:fs/promises';
import type { CheckpointEngineError } from '@checkpoint-engine/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';
import { FaultyDisk } from './support/faulty-disk.ts';
import { World, type WorldOptions } from './support/world.ts';

const MIB = 2 ** 20;
/** 32 buckets of one tensor each through a ring of 4, so most of each file is unread when the first bucket arrives. */
const SIZES = { bucketBytes: MIB };
const source = (): { files: string; stream: true; hostMemoryBytes: number } => ({
  files: checkpoint.folder,
  stream: true,
  hostMemoryBytes: 4 * MIB,
});

let world: World;
let checkpoint: TestCheckpoint;
let disk: FaultyDisk;

beforeEach(async () => {
  disk = new FaultyDisk();
  const tensors = Array.from({ length: 32 }, (_, index) => {
    return { name: `layers.${index}`, dtype: 'BF16' as const, shape: [MIB / 2] };
  });
  checkpoint = await writeCheckpoint(tensors, { shardCount: 2 });
});
afterEach(async () => {
  disk.does('ok');
  await world?.end();
  disk.remove();
  await checkpoint.remove();
});

async function ready(size: number, options: WorldOptions = {}): Promise<void> {
  world = await World.start(size, { runner: disk.runner, ...options });
  await world.register('a', source());
  await world.gather('a');
}

async function registerAgain(): Promise<void> {
  await world.onAll((rank) => rank.call('unregister', { name: 'a' }));
  await world.register('a', source());
  await world.gather('a');
}

/** The next update works, every byte of it is right, and nothing of the failed one is left. */
async function expectUpdateWorks(): Promise<void> {
  await world.update('a', SIZES);
  for (let index = 0; index < world.size; index++) expect(await world.digests(index)).toEqual(checkpoint.digests);
  await world.onAll((rank) => rank.call('unregister', { name: 'a' }));
  const pids = [...world.ranks, ...world.workers].map(({ process }) => `-${process.pid}-`);
  expect(readdirSync('/dev/shm').filter((name) => pids.some((pid) => name.includes(pid)))).toEqual([]);
}

/** Calls a function during a streaming update, when most of each file is not read yet. */
const inTheMiddle = <T>(update: () => Promise<T>, work: () => unknown): Promise<T> =>
  world.inTheMiddle(world.size - 1, 1, update, work);
const failedUpdate = (options: object = {}) => world.failedUpdate('a', { ...SIZES, ...options });

function expectAll(errors: readonly CheckpointEngineError[], wanted: object): void {
  expect(errors).toHaveLength(world.size);
  for (const error of errors) expect(error).toMatchObject(wanted);
}

describe('files that change between registration and update', () => {
  it('are reported if one was written again, and stream after they are registered again', async () => {
    await ready(3);
    const [, file] = checkpoint.files;
    await utimes(file!, new Date(), new Date(Date.now() + 5_000));
    expectAll(await failedUpdate(), { code: 'CE_FILE_CHANGED', file });
    await registerAgain();
    await expectUpdateWorks();
  });

  it('are reported with both sizes if one shrank', async () => {
    await ready(1);
    const file = checkpoint.files[0]!;
    const { size } = await stat(file);
    await truncate(file, 12 * MIB);
    const [error] = await failedUpdate();
    expect(error).toMatchObject({ code: 'CE_FILE_CHANGED', file });
    expect(error!.message).toContain(`${size} bytes`);
    expect(error!.message).toContain(`${12 * MIB}`);
  });

  it('are reported if one is gone, and stream again when it is back', async () => {
    await ready(2);
    const file = checkpoint.files[0]!;
    await rename(file, `${file}.away`);
    expectAll(await failedUpdate(), { code: 'CE_FILE_NOT_FOUND', file });
    await rename(`${file}.away`, file);
    await expectUpdateWorks();
  });
});

describe('files that change during the update', () => {
  it('are reported if one is written to', async () => {
    await ready(2);
    const times = new Date(Date.now() + 5_000);
    const errors = await inTheMiddle(failedUpdate, () => utimes(checkpoint.files[1]!, times, times));
    expectAll(errors, { code: 'CE_FILE_CHANGED', file: checkpoint.files[1] });
    await registerAgain();
    await expectUpdateWorks();
  });

  it('are reported with the offset if one ends early during a read', async () => {
    await ready(1);
    disk.does('stall');
    const failing = failedUpdate();
    await disk.stalled();
    await Promise.all(checkpoint.files.map((path) => truncate(path, 4096)));
    disk.does('ok');
    const [error] = await failing;
    expect(error).toMatchObject({ code: 'CE_FILE_TRUNCATED', file: checkpoint.files[0] });
    expect(error!.message).toMatch(/ends at byte \d+: it has 4096 bytes/);
  });
});

describe('a disk', () => {
  it('that hangs ends the update with its time-out, and the next update works when the disk works again', async () => {
    await ready(2);
    const update = () => failedUpdate({ timeoutMs: 3_000 });
    expectAll(await inTheMiddle(update, () => disk.does('stall')), { code: 'CE_TIMEOUT' });
    disk.does('ok');
    await expectUpdateWorks();
  });

  it('that hangs briefly only delays the update', async () => {
    await ready(2);
    const update = () => world.update('a', SIZES);
    await inTheMiddle(update, () => {
      disk.does('stall');
      void disk.stalled().then(() => setTimeout(() => disk.does('ok'), 500));
    });
    await expectUpdateWorks();
  });

  it('that fails briefly is read again', async () => {
    await ready(1);
    disk.does('eio 2');
    await expectUpdateWorks();
  });

  it('that keeps failing ends the update with the name of the file', async () => {
    await ready(2);
    const errors = await inTheMiddle(failedUpdate, () => disk.does('eio 1000000'));
    expectAll(errors, { code: 'CE_FILE_UNREADABLE', status: 5 });
    expect(checkpoint.files).toContain(errors[0]!.file);
    disk.does('ok');
    await expectUpdateWorks();
  });
});

describe('a streaming update that is interrupted', () => {
  it('works again after it was aborted', async () => {
    await ready(2);
    const errors = await inTheMiddle(failedUpdate, () => world.ranks[1]!.call('abort'));
    expectAll(errors, { code: 'CE_ABORTED', rank: 1 });
    await expectUpdateWorks();
  });

  it('works again after a worker failed', async () => {
    await ready(2);
    await world.workers[1]!.call('plant', { kind: 'throw', bucket: 9 });
    expectAll(await failedUpdate(), { code: 'CE_WORKER_FAILED', rank: 1 });
    await world.workers[1]!.call('plant', null);
    await expectUpdateWorks();
  });

  it('works again after a rank was killed', async () => {
    await ready(2, { lostAfterMs: 2_000 });
    for (const error of await inTheMiddle(failedUpdate, () => world.ranks[1]!.kill()))
      expect(error).toMatchObject({ code: 'CE_RANK_LOST', peer: 1 });
    await world.restartRank(1);
    await world.ranks[1]!.call('register', { name: 'a', source: source() });
    await world.gather('a');
    await expectUpdateWorks();
  });
});
