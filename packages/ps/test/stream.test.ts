import { existsSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { mixedTensors, removedCheckpoints, type TensorSpec } from './support/checkpoint.ts';
import { type BucketEvent, World } from './support/world.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
let world: World | undefined;
const made = removedCheckpoints();

afterEach(async () => {
  await world?.end();
  world = undefined;
});

const largeTensors = (sizeBytes: number): TensorSpec[] =>
  Array.from({ length: sizeBytes / (4 * MIB) }, (_, index) => ({
    name: `layers.${index}`,
    dtype: 'BF16',
    shape: [2, MIB],
  }));

describe('a streaming update over real processes', () => {
  it.each([1, 3, 4])('delivers every byte to every worker of %i ranks through a small ring, twice', async (size) => {
    const { folder, digests } = await made(mixedTensors(300), { shardCount: 3 });
    world = await World.start(size);
    const registered = await world.register('a', { files: folder, stream: true, hostMemoryBytes: 1300 * KIB });
    expect(registered.map(({ poolBytes }) => poolBytes)).toEqual(Array(size).fill(0));
    expect(await world.gather('a')).toEqual(Array(size).fill(300));
    for (const round of [0, 1]) {
      const results = await world.update('a', { bucketBytes: 512 * KIB });
      expect(results[round % size]!.bucketCount).toBeGreaterThan(20);
      for (let index = 0; index < size; index++) expect(await world.digests(index)).toEqual(digests);
    }
  });

  it('delivers tensors that are larger than the ring, in parts', async () => {
    const { folder, digests } = await made(largeTensors(16 * MIB));
    world = await World.start(1);
    await world.register('a', { files: folder, stream: true, hostMemoryBytes: MIB });
    await world.gather('a');
    await world.update('a');
    expect(await world.digests(0)).toEqual(digests);
  });

  it('reads ahead while workers take earlier buckets, and reports each read', async () => {
    const { folder } = await made(largeTensors(64 * MIB));
    world = await World.start(1);
    await world.register('a', { files: folder, stream: true });
    await world.gather('a');
    const ends: BucketEvent[] = [];
    world.onBucketEnd = (_, event) => ends.push(event);
    const stages = (stage: string): number => ends.filter((event) => event.stage === stage).length;
    const update = () => world!.update('a', { bucketBytes: 4 * MIB });
    const [result] = await world.inTheMiddle(0, 0, update, async () => {
      await expect.poll(() => stages('read')).toBeGreaterThan(1);
      expect(stages('reload')).toBe(0);
    });
    expect([stages('read'), stages('h2d'), stages('reload')]).toEqual(Array(3).fill(result!.bucketCount));
    expect(world.passed).toEqual(world.planned);
  });

  it('uses files on /dev/shm in place, and reads other files', async () => {
    const inPlace = await made(mixedTensors(30), { parent: '/dev/shm', shardCount: 1 });
    const others = mixedTensors(60).slice(30);
    const onDisk = await made(others, { shardCount: 1 });
    world = await World.start(2);
    const files = [inPlace.files[0]!, onDisk.files[0]!];
    const registered = await world.register('a', { files, stream: true, hostMemoryBytes: MIB });
    expect(registered.reduce((sum, { poolBytes }) => sum + poolBytes, 0)).toBeGreaterThan(0);
    await world.gather('a');
    expect(files.map((file) => existsSync(file))).toEqual([true, true]);
    await world.update('a', { bucketBytes: 256 * KIB });
    expect(files.map((file) => existsSync(file))).toEqual([false, true]);
    expect(world.passed).toEqual(world.planned);
    for (const index of [0, 1]) expect(await world.digests(index)).toEqual({ ...inPlace.digests, ...onDisk.digests });
  });

  it('streams through the shared pool, which others can use between updates', async () => {
    const { folder, digests } = await made(mixedTensors(40));
    world = await World.start(1);
    for (const name of ['a', 'b']) {
      await world.ranks[0]!.call('register', {
        name,
        source: { files: folder, stream: true },
        options: { pool: 'shared' },
      });
      await world.gather(name);
    }
    for (const name of ['a', 'b', 'a']) await world.update(name);
    expect(await world.digests(0)).toEqual(digests);
  });

  it.each([1, 4])('keeps the host memory of each of %i ranks bounded, for any size', async (size) => {
    const sizeBytes = 512 * MIB;
    const ringBytes = 64 * MIB;
    const { folder, digests } = await made(largeTensors(sizeBytes), { shardCount: 4 });
    world = await World.start(size);
    await world.register('a', { files: folder, stream: true, hostMemoryBytes: ringBytes, share: 'balanced' });
    await world.gather('a');
    await world.update('a');
    expect(await world.digests(size - 1)).toEqual(digests);
    for (const rank of world.ranks) {
      expect((await rank.call<number>('peakBytes')) - ringBytes).toBeLessThan(300 * MIB);
    }
  });
});
