import { afterEach, describe, expect, it } from 'vitest';
import { expected, modelTensors, PullWorld, type PullWorldOptions, tensorParallel } from './support/pull-world.ts';

const worlds: PullWorld[] = [];

afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close();
});

async function start(size: number, options: Partial<PullWorldOptions> = {}): Promise<PullWorld> {
  const world = await PullWorld.start(size, {
    keepOf: (rank) => ({ keep: tensorParallel(rank, size) }),
    sharePools: true,
    ...options,
  });
  worlds.push(world);
  return world;
}

describe('a pull on one host', () => {
  it.each([
    [1, true],
    [2, true],
    [4, true],
    [1, false],
    [2, false],
    [4, false],
  ])('of %i ranks copies what each worker keeps, and no more (pools shared: %s)', async (size, sharePools) => {
    const world = await start(size, { sharePools });
    for (const seed of [1, 2, 3]) {
      const tensors = modelTensors(seed);
      await world.registerTensors('a', tensors);
      const results = await world.update('a', { bucketBytes: 8192 });
      for (let rank = 0; rank < size; rank++) {
        expect(results[rank]).toMatchObject({ method: 'pull', bucketCount: 0, deviceBytes: 0 });
        expect(results[rank]!.pulledBytes).toBe(results[rank]!.neededBytes);
        expect(results[rank]!.neededBytes).toBeLessThanOrEqual(results[rank]!.totalBytes);
        expect(await world.digests(rank)).toEqual(expected(tensors, tensorParallel(rank, size)));
      }
      if (size > 1) expect(results[0]!.neededBytes).toBeLessThan(results[0]!.totalBytes);
      await world.unregister('a');
    }
  });
});

/** Tensors that the engine's loader needs whole. */
const inBuckets = ({ name }: { readonly name: string }): boolean => name.startsWith('norm') || name === 'expert.1.0';

describe('a pull mixed with buckets', () => {
  it.each([1, 2, 4])('of %i ranks sends the rest in buckets, to those that take it', async (size) => {
    const world = await start(size, { keepOf: (rank) => ({ keep: tensorParallel(rank, size), inBuckets }) });
    for (const seed of [1, 2]) {
      const tensors = modelTensors(seed);
      await world.registerTensors('a', tensors);
      const results = await world.update('a', { bucketBytes: 4096 });
      for (let rank = 0; rank < size; rank++) {
        const { method, bucketCount, pulledBytes, neededBytes } = results[rank]!;
        expect(method).toBe('pull');
        expect(bucketCount).toBeGreaterThan(0);
        expect(pulledBytes).toBeLessThan(neededBytes);
        expect(await world.digests(rank)).toEqual(expected(tensors, tensorParallel(rank, size)));
      }
      await world.unregister('a');
    }
  });

  it('sends everything in buckets first, compares, and pulls equal parts from then on', async () => {
    const world = await start(2, { keepOf: (rank) => ({ keep: tensorParallel(rank, 2), inBuckets, prove: true }) });
    const pulled: number[] = [];
    for (const seed of [1, 2, 3]) {
      const tensors = modelTensors(seed);
      await world.registerTensors('a', tensors);
      const [first] = await world.update('a');
      pulled.push(first!.pulledBytes);
      for (const rank of [0, 1]) {
        expect(await world.digests(rank)).toEqual(expected(tensors, tensorParallel(rank, 2)));
      }
      await world.unregister('a');
    }
    expect(pulled[0]).toBe(0);
    expect(pulled[1]).toBeGreaterThan(0);
    expect(pulled[2]).toBe(pulled[1]);
  });

  it('sends whole buckets to all if one worker cannot pull, and reports why', async () => {
    const world = await start(2, { keepOf: (rank) => (rank === 0 ? { keep: tensorParallel(0, 2) } : {}) });
    const tensors = modelTensors(5);
    await world.registerTensors('a', tensors);
    const results = await world.update('a');
    for (const rank of [0, 1]) {
      expect(results[rank]).toMatchObject({ method: 'buckets', methodReason: expect.stringContaining('rank 1') });
      const keep = rank === 0 ? tensorParallel(0, 2) : undefined;
      expect(await world.digests(rank)).toEqual(expected(tensors, keep));
    }
    await expect(world.update('a', { method: 'pull' })).rejects.toMatchObject({ code: 'CE_NOT_SUPPORTED' });
    const [asked] = await world.update('a', { method: 'buckets' });
    expect(asked).toMatchObject({ method: 'buckets' });
  });

  it('is prepared before the first update, which then maps and declares nothing', async () => {
    const world = await start(2);
    const tensors = modelTensors(6);
    await world.registerTensors('a', tensors);
    const prepared = await world.prepare('a');
    expect(prepared.map((result) => result?.method)).toEqual(['pull', 'pull']);
    expect(world.workers[0]!.tensors.size).toBeGreaterThan(0);
    expect(await world.digests(0)).not.toEqual(expected(tensors, tensorParallel(0, 2)));
    const results = await world.update('a');
    for (const rank of [0, 1]) expect(await world.digests(rank)).toEqual(expected(tensors, tensorParallel(rank, 2)));
    for (const { durationsMs } of results) {
      expect(durationsMs.engine).toBeGreaterThan(durationsMs.stream);
      expect(durationsMs.engine).toBeLessThanOrEqual(durationsMs.total);
    }
  });

  it('cannot be prepared if a worker does not pull, which is reported; the update works', async () => {
    const world = await start(2, { keepOf: (rank) => (rank === 0 ? { keep: tensorParallel(0, 2) } : {}) });
    const tensors = modelTensors(7);
    await world.registerTensors('a', tensors);
    await expect(world.prepare('a')).rejects.toMatchObject({ code: 'CE_WORKER_PROTOCOL' });
    await world.update('a');
    expect(await world.digests(1)).toEqual(expected(tensors, undefined));
  });
});
