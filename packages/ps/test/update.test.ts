import { existsSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { mixedTensors, removedCheckpoints } from './support/checkpoint.ts';
import { World } from './support/world.ts';

const MIB = 2 ** 20;
let world: World | undefined;
const made = removedCheckpoints();

afterEach(async () => {
  await world?.end();
  world = undefined;
});

describe('an update over real processes', () => {
  it.each([1, 3, 4, 8])('delivers every byte to every worker of %i ranks', async (size) => {
    const { folder, digests } = await made(mixedTensors(300), { shardCount: 3 });
    world = await World.start(size);
    const registered = await world.register('a', { files: folder });
    expect(registered.reduce((sum, { tensorCount }) => sum + tensorCount, 0)).toBe(300);
    expect(await world.gather('a')).toEqual(Array(size).fill(300));
    const results = await world.update('a', { bucketBytes: MIB });
    expect(results.every(({ bucketCount }) => bucketCount > 3)).toBe(true);
    for (let index = 0; index < size; index++) expect(await world.digests(index)).toEqual(digests);
    expect(world.passed).toEqual(world.planned);
  });

  it('updates repeatedly, also to another checkpoint, with one ring that is freed with the last checkpoint', async () => {
    const first = await made(mixedTensors(40));
    const second = await made(mixedTensors(40));
    world = await World.start(2);
    await world.register('first', { files: first.folder });
    await world.register('second', { files: second.folder });
    await world.gather('first');
    await world.gather('second');
    for (const { name, digests } of [
      { name: 'first', digests: first.digests },
      { name: 'second', digests: second.digests },
      { name: 'first', digests: first.digests },
    ]) {
      await world.update(name);
      for (const index of [0, 1]) expect(await world.digests(index)).toEqual(digests);
    }
    const ring = segmentsOf(world);
    expect(ring).toHaveLength(1);
    await world.update('first');
    expect(segmentsOf(world)).toEqual(ring);
    for (const name of ['first', 'second']) await world.onAll((rank) => rank.call('unregister', { name }));
    expect(segmentsOf(world)).toEqual([]);
  });

  it('grows the bucket to the largest tensor and reports it', async () => {
    const { folder, digests } = await made([
      { name: 'small', dtype: 'F32', shape: [100] },
      { name: 'large', dtype: 'BF16', shape: [3 * MIB] },
    ]);
    world = await World.start(2);
    await world.register('a', { files: folder });
    await world.gather('a');
    const [result] = await world.update('a', { bucketBytes: MIB });
    expect(result!.bucketBytes).toBe(6 * MIB);
    expect(result!.reason).toMatch(/6 MiB/);
    for (const index of [0, 1]) expect(await world.digests(index)).toEqual(digests);
  });

  it('refuses a bound that no slot fits into, before any data moves, and works without it', async () => {
    const { folder, digests } = await made([{ name: 'large', dtype: 'BF16', shape: [3 * MIB] }], { shardCount: 1 });
    world = await World.start(2);
    await world.register('a', { files: folder });
    await world.gather('a');
    for (const error of await world.failedUpdate('a', { deviceMemoryBytes: MIB })) {
      expect(error).toMatchObject({ code: 'CE_PLAN_MEMORY_TOO_SMALL' });
    }
    await world.update('a');
    expect(await world.digests(0)).toEqual(digests);
  });

  it('uses files on /dev/shm in place and unlinks them after an update has succeeded on all ranks', async () => {
    const { folder, files, digests } = await made(mixedTensors(30), { parent: '/dev/shm' });
    world = await World.start(3);
    await world.register('a', { files: folder });
    await world.gather('a');
    expect(files.every((file) => existsSync(file))).toBe(true);
    await world.update('a');
    expect(files.some((file) => existsSync(file))).toBe(false);
    // The next checkpoint may take their names at once.
    await writeFile(files[0]!, 'next');
    await world.gather('a');
    expect(existsSync(files[0]!)).toBe(true);
    await world.update('a');
    expect(await world.digests(2)).toEqual(digests);
  });
});

function segmentsOf({ ranks, workers }: World): string[] {
  const pids = [...ranks, ...workers].map(({ process }) => `-${process.pid}-`);
  return readdirSync('/dev/shm').filter((name) => pids.some((pid) => name.includes(pid)));
}
