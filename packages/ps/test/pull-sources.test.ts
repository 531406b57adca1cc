import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NamedTensor } from '@checkpoint-engine/ps';
import { afterEach, describe, expect, it } from 'vitest';
import { writeTensors } from './support/checkpoint.ts';
import { expected, modelTensors, PullWorld, type PullWorldOptions, tensorParallel } from './support/pull-world.ts';

const closing: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of closing.splice(0).reverse()) await each.close();
});

async function start(size: number, options: Partial<PullWorldOptions> = {}): Promise<PullWorld> {
  const world = await PullWorld.start(size, { keepOf: (rank) => ({ keep: tensorParallel(rank, size) }), ...options });
  closing.push(world);
  return world;
}

/** Writes tensors into two files of a separate folder. */
async function written(tensors: readonly NamedTensor[], parent = tmpdir()): Promise<string> {
  const folder = await mkdtemp(join(parent, 'checkpoint-engine-test-'));
  closing.push({ close: () => rm(folder, { recursive: true, force: true }) });
  const half = Math.ceil(tensors.length / 2);
  for (const [at, own] of [tensors.slice(0, half), tensors.slice(half)].entries()) {
    await writeTensors(join(folder, `model-0000${at + 1}-of-00002.safetensors`), own);
  }
  return folder;
}

/** Bytes of `read` by rank. */
function readBytes(world: PullWorld): number[] {
  return Array.from({ length: world.size }, (_, rank) =>
    world.events.reduce(
      (sum, event) =>
        event.type === 'bucket-end' && event.stage === 'read' && event.rank === rank ? sum + event.sizeBytes : sum,
      0,
    ),
  );
}

async function expectHeld(world: PullWorld, tensors: readonly NamedTensor[], size = world.size): Promise<void> {
  for (let rank = 0; rank < world.size; rank++) {
    expect(await world.digests(rank)).toEqual(expected(tensors, tensorParallel(rank, size)));
  }
}

describe('a pull from files', () => {
  it.each([1, 2, 4])('of %i ranks reads each byte once into rings that workers pull from', async (size) => {
    const world = await start(size, { sharePools: true });
    for (const seed of [1, 2]) {
      const tensors = modelTensors(seed, 6);
      const files = await written(tensors);
      await world.register('a', () => ({ files, stream: true }));
      world.events.length = 0;
      // Rings of a few chunks, so that places are used again.
      const results = await world.update('a', { bucketBytes: 4096 });
      for (const result of results) {
        expect(result).toMatchObject({ method: 'pull', bucketCount: 0 });
        expect(result.pulledBytes).toBe(result.neededBytes);
      }
      await expectHeld(world, tensors);
      const read = readBytes(world).reduce((sum, bytes) => sum + bytes, 0);
      // Each range starts at a multiple of 256.
      expect(read).toBeLessThan(results[0]!.totalBytes + 256 * 2 * tensors.length);
      await world.unregister('a');
    }
  });

  it.each([true, false])('waits for a pool that is filled in the background (shared: %s)', async (sharePools) => {
    const world = await start(2, { sharePools });
    const tensors = modelTensors(3, 6);
    const files = await written(tensors);
    await world.register('a', () => ({ files, load: 'background' }));
    await world.update('a');
    await expectHeld(world, tensors);
  });

  it('copies files on /dev/shm that workers cannot map through the rings', async () => {
    const world = await start(2, { sharePools: true });
    const tensors = modelTensors(4, 3);
    const files = await written(tensors, '/dev/shm');
    await world.register('a', () => ({ files, keepFiles: true }));
    expect(await world.update('a')).toMatchObject([{ method: 'pull' }, { method: 'pull' }]);
    await expectHeld(world, tensors);
  });
});

describe('a pull between hosts', () => {
  it('reads each needed byte once per host', async () => {
    // Two hosts of two ranks, each of them a tensor-parallel pair: every byte is needed on both.
    const size = 4;
    const world = await start(size, {
      p2p: true,
      hostOf: (rank) => `host-${Math.floor(rank / 2)}`,
      nicsOf: (rank) => [`nic-${rank}`],
      keepOf: (rank) => ({ keep: tensorParallel(rank % 2, 2) }),
    });
    const tensors = modelTensors(7, 6);
    await world.registerTensors('a', tensors);
    const results = await world.update('a', { bucketBytes: 8192 });
    for (const [rank, result] of results.entries()) {
      expect(result).toMatchObject({ method: 'pull', bucketCount: 0 });
      expect(result.pulledBytes).toBe(result.neededBytes);
      expect(await world.digests(rank)).toEqual(expected(tensors, tensorParallel(rank % 2, 2)));
    }
    const elsewhere = (host: number): number =>
      tensors.reduce((sum, { bytes }, at) => sum + (Math.floor((at % size) / 2) === host ? 0 : bytes.byteLength), 0);
    const read = readBytes(world);
    for (const host of [0, 1]) {
      const own = read.slice(host * 2, host * 2 + 2);
      const bytes = own[0]! + own[1]!;
      expect(bytes).toBeGreaterThanOrEqual(elsewhere(host));
      expect(bytes).toBeLessThan(elsewhere(host) + 256 * 2 * tensors.length);
      expect(Math.min(...own)).toBeGreaterThan(bytes / 4);
    }
  });

  it('transfers only what is needed if a tensor-parallel group spans the hosts', async () => {
    const world = await start(4, { p2p: true, hostOf: (rank) => `host-${Math.floor(rank / 2)}` });
    const tensors = modelTensors(8, 4);
    await world.registerTensors('a', tensors);
    const results = await world.update('a', { bucketBytes: 8192 });
    expect(results.every(({ method }) => method === 'pull')).toBe(true);
    await expectHeld(world, tensors);
    const read = readBytes(world).reduce((sum, bytes) => sum + bytes, 0);
    // Rows and experts of the other host stay there.
    expect(read).toBeLessThan(0.8 * results[0]!.totalBytes);
  });

  it('delivers what the workers of a joining world keep, from the pools of another', async () => {
    const owners = await start(2, { p2p: true });
    const tensors = modelTensors(9, 5);
    await owners.registerTensors('a', tensors);
    const joiners = await start(2, { p2p: true, firstDevice: 8 });
    const metas = owners.servers[0]!.getMetas('a');
    for (const server of joiners.servers) server.loadMetas(metas);
    for (let turn = 0; turn < 2; turn++) {
      const results = await joiners.update('a', { bucketBytes: 8192 });
      expect(results).toMatchObject([{ method: 'pull' }, { method: 'pull' }]);
      await expectHeld(joiners, tensors);
    }
  });

  it('reads from another holder of the same tensors if an owner is gone', async () => {
    const [first, second] = [await start(1, { p2p: true }), await start(1, { p2p: true, firstDevice: 4 })];
    const tensors = modelTensors(10, 3);
    for (const world of [first, second]) await world.registerTensors('a', tensors);
    const joiners = await start(1, { p2p: true, firstDevice: 8, keepOf: () => ({ keep: tensorParallel(0, 1) }) });
    const metas = [first, second].map((world) => world.servers[0]!.getMetas('a'));
    joiners.servers[0]!.loadMetas(metas[0]!, { fallbacks: [metas[1]!] });
    await first.unregister('a');
    expect(await joiners.update('a')).toMatchObject([{ method: 'pull' }]);
    await expectHeld(joiners, tensors);
  });
});

describe('a proof of what was loaded in buckets', () => {
  const prove = (size: number) => (rank: number) => ({ keep: tensorParallel(rank % size, size), prove: true });

  it('reads files once more, and pulls from then on', async () => {
    const world = await start(2, { keepOf: prove(2) });
    const pulled: number[] = [];
    for (const seed of [1, 2]) {
      const tensors = modelTensors(seed, 4);
      const files = await written(tensors);
      await world.register('a', () => ({ files, stream: true }));
      const [first] = await world.update('a', { bucketBytes: 8192 });
      pulled.push(first!.pulledBytes);
      await expectHeld(world, tensors);
      await world.unregister('a');
    }
    expect(pulled[0]).toBe(0);
    expect(pulled[1]).toBeGreaterThan(0);
  });

  it('reads what is on other hosts, if workers of several hosts compare', async () => {
    const hostOf = (rank: number): string => `host-${Math.floor(rank / 2)}`;
    const world = await start(4, { p2p: true, hostOf, keepOf: prove(2) });
    const tensors = modelTensors(3, 4);
    await world.registerTensors('a', tensors);
    for (const isPulled of [false, true]) {
      const results = await world.update('a', { bucketBytes: 8192 });
      for (const [rank, result] of results.entries()) {
        expect([rank, result.method, result.pulledBytes > 0]).toEqual([rank, 'pull', isPulled]);
        expect(await world.digests(rank)).toEqual(expected(tensors, tensorParallel(rank % 2, 2)));
      }
    }
  });
});
