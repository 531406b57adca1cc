// Files on /dev/shm that are used in place: when they are removed, and what happens if they change.
import { existsSync, statSync } from 'node:fs';
import { open, rename, truncate, utimes } from 'node:fs/promises';
import type { UpdateResult } from '@checkpoint-engine/ps';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';
import { World } from './support/world.ts';

const KIB = 2 ** 10;
/** 16 buckets of one tensor each. */
const SIZES = { bucketBytes: 64 * KIB };

let world: World;
let checkpoint: TestCheckpoint;

const write = (): Promise<TestCheckpoint> =>
  writeCheckpoint(
    Array.from({ length: 16 }, (_, index) => ({ name: `layers.${index}`, dtype: 'U8' as const, shape: [64 * KIB] })),
    { shardCount: 2, parent: '/dev/shm' },
  );
beforeEach(async () => {
  checkpoint = await write();
});
afterEach(async () => {
  await world?.end();
  await checkpoint.remove();
});

async function ready(size: number, source: object = {}): Promise<void> {
  world = await World.start(size);
  await world.register('a', { files: checkpoint.folder, ...source });
  await world.gather('a');
}

async function expectWeights(): Promise<void> {
  for (let index = 0; index < world.size; index++) expect(await world.digests(index)).toEqual(checkpoint.digests);
}

async function overwrite(path: string, { keepTimes = false } = {}): Promise<void> {
  const { atime, mtime } = statSync(path);
  const file = await open(path, 'r+');
  await file.write(new Uint8Array(100_000), 0, 100_000, 50_000);
  await file.close();
  if (keepTimes) await utimes(path, atime, mtime);
}

const present = (): boolean[] => checkpoint.files.map((file) => existsSync(file));
const removedBy = (results: readonly UpdateResult[]): string[] =>
  results.flatMap(({ removedFiles }) => removedFiles).sort();

describe('the files', () => {
  it.each([{}, { stream: true }])(
    'stay until an update has succeeded on all ranks, which names them: %j',
    async (source) => {
      await ready(3, source);
      expect(present()).toEqual([true, true]);
      await world.workers[1]!.call('plant', { kind: 'throw', bucket: 3 });
      await world.failedUpdate('a', SIZES);
      expect(present()).toEqual([true, true]);
      await world.workers[1]!.call('plant', null);
      expect(removedBy(await world.update('a', SIZES))).toEqual(checkpoint.files);
      expect(present()).toEqual([false, false]);
      await expectWeights();
      // The mappings do not need their names.
      expect(removedBy(await world.update('a', SIZES))).toEqual([]);
      await expectWeights();
    },
  );

  it('stay if a rank dies in the update', async () => {
    await ready(2);
    const errors = await world.inTheMiddle(
      1,
      1,
      () => world.failedUpdate('a', SIZES),
      () => world.ranks[1]!.kill(),
    );
    expect(errors).toMatchObject([{ code: 'CE_RANK_LOST' }]);
    expect(present()).toEqual([true, true]);
  });

  it('stay if they are kept', async () => {
    await ready(2, { keepFiles: true });
    expect(removedBy(await world.update('a', SIZES))).toEqual([]);
    expect(present()).toEqual([true, true]);
    await world.onAll((rank) => rank.call('removeFiles', { name: 'a' }));
    expect(present()).toEqual([true, true]);
  });

  it('stay for an update that keeps them, and are removed by one that does not', async () => {
    await ready(2);
    await world.update('a', { ...SIZES, keepFiles: true });
    expect(present()).toEqual([true, true]);
    const removed = await world.onAll((rank) => rank.call<string[]>('removeFiles', { name: 'a' }));
    expect(removed.flat().sort()).toEqual(checkpoint.files);
    expect(present()).toEqual([false, false]);
  });

  it('stay if the checkpoint is unregistered before', async () => {
    await ready(2);
    await world.onAll((rank) => rank.call('unregister', { name: 'a' }));
    expect(present()).toEqual([true, true]);
  });

  it('of the next step with the same names are not removed', async () => {
    await ready(2);
    const next = await write();
    await rename(next.files[0]!, checkpoint.files[0]!);
    expect(removedBy(await world.update('a', SIZES))).toEqual([checkpoint.files[1]]);
    expect(present()).toEqual([true, false]);
    await expectWeights();
    await next.remove();
  });
});

describe.each([{}, { stream: true }])('files that change while they are used in place: %j', (source) => {
  it.each([false, true])('are reported if they were written to (time stamps restored: %j)', async (keepTimes) => {
    await ready(2, { ...source, keepFiles: true });
    const [, file] = checkpoint.files;
    await overwrite(file!, { keepTimes });
    for (const error of await world.failedUpdate('a', SIZES))
      expect(error).toMatchObject({ code: 'CE_FILE_CHANGED', file });
    expect(present()).toEqual([true, true]);
  });

  it('are reported if they became shorter, and every rank survives', async () => {
    await ready(2, source);
    const [file] = checkpoint.files;
    await truncate(file!, 4096);
    for (const error of await world.failedUpdate('a', SIZES))
      expect(error).toMatchObject({ code: 'CE_FILE_CHANGED', file });
    expect(world.ranks.map(({ isAlive }) => isAlive)).toEqual([true, true]);
    expect(present()).toEqual([true, true]);
  });

  it.each([
    ['written to', (file: string) => overwrite(file)],
    ['shortened', (file: string) => truncate(file, 4096)],
    ['emptied', (file: string) => truncate(file, 0)],
  ])('fail the running update if they were %s', async (_, change) => {
    await ready(1, source);
    const file = checkpoint.files[1]!;
    const [error] = await world.inTheMiddle(
      0,
      1,
      () => world.failedUpdate('a', { ...SIZES, deviceMemoryBytes: 256 * KIB }),
      () => change(file),
    );
    expect(error).toMatchObject({ code: 'CE_FILE_CHANGED', file });
    expect(world.ranks[0]!.isAlive).toBe(true);
  });
});
