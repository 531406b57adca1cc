// Pulls between two hosts that are network namespaces: needed bytes cross the cable once for each host.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NamedTensor, UpdateResult } from '@checkpoint-engine/ps';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { mooncakeForTests } from '../../transport-rdma/test/support/mooncake.ts';
import { writeTensors } from './support/checkpoint.ts';
import { type TwoHosts, twoHosts } from './support/namespaces.ts';
import { expected, modelTensors, tensorParallel } from './support/pull-world.ts';
import { type RankPlace, World, type WorldOptions } from './support/world.ts';

const { python, missing } = await mooncakeForTests();
const hosts = missing ?? twoHosts();
const reason = typeof hosts === 'string' ? hosts : undefined;
if (reason !== undefined) console.warn(`Pulls between hosts are not tested: ${reason}`);

const LAYERS = 120;
/** Each range of a tensor starts at a multiple of 256 bytes in a chunk. */
const ALIGNMENT = 256;
/** Share of packet headers, acknowledgements and messages between the ranks, relative to the bytes that are read. */
const OVERHEAD = 0.15;

describe.skipIf(reason)('a pull over Mooncake between two hosts', () => {
  // A skipped suite's body runs too.
  const { addresses, on, receivedBytes, remove } = (typeof hosts === 'string' ? {} : hosts) as TwoHosts;
  const worlds: World[] = [];
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'checkpoint-engine-test-'));
  });
  afterEach(async () => {
    await Promise.all(worlds.splice(0).map((world) => world.end()));
  });
  afterAll(async () => {
    remove?.();
    await rm(folder, { recursive: true, force: true });
  });

  async function started(size: number, options: WorldOptions): Promise<World> {
    const world = await World.start(size, { broadcast: false, ...options });
    worlds.push(world);
    return world;
  }

  const p2pOf = (host: 0 | 1) => ({ python, protocol: 'tcp', host: addresses[host] });
  const placeOn = (host: 0 | 1, rank: number): RankPlace => ({
    ...{ runner: on(host), host: `host-${host}`, p2p: p2pOf(host), nics: [`${addresses[host]}-${rank}`] },
  });
  /** A separate world on one host. */
  const onHost = (host: 0 | 1): WorldOptions => ({ placeOf: (rank) => placeOn(host, rank) });
  /** A world that has as many ranks on each host. */
  const across = (ranksPerHost: number): WorldOptions => ({
    placeOf: (rank) => ({ ...placeOn(rank < ranksPerHost ? 0 : 1, rank), masterAddr: addresses[0] }),
  });

  /** Writes a checkpoint; shares of ranks are those that `balanced` gives. */
  async function written(seed: number): Promise<{ path: string; tensors: NamedTensor[] }> {
    const tensors = modelTensors(seed, LAYERS);
    const path = join(folder, `${seed}.safetensors`);
    await writeTensors(path, tensors);
    return { path, tensors };
  }

  const readOf = (world: World, ranks: readonly number[]): number =>
    ranks.reduce((sum, rank) => sum + (world.passed.get(rank)?.read ?? 0), 0);

  function expectPulled(results: readonly UpdateResult[]): void {
    for (const result of results) {
      expect(result).toMatchObject({ method: 'pull', bucketCount: 0, pulledBytes: result.neededBytes });
    }
  }

  async function expectHeld(world: World, tensors: readonly NamedTensor[], parallelSize: number): Promise<void> {
    for (let rank = 0; rank < world.size; rank++) {
      expect(await world.digests(rank)).toEqual(expected(tensors, tensorParallel(rank % parallelSize, parallelSize)));
    }
  }

  /** The bytes read are between the needed bytes and those with alignment, and the link has carried no more. */
  function expectOnce(readBytes: number, neededBytes: number, carriedBytes: number, tensorCount: number): void {
    expect(readBytes).toBeGreaterThanOrEqual(neededBytes);
    expect(readBytes).toBeLessThan(neededBytes + 2 * ALIGNMENT * tensorCount);
    expect(carriedBytes).toBeGreaterThanOrEqual(neededBytes);
    expect(carriedBytes).toBeLessThan(readBytes * (1 + OVERHEAD) + 2 ** 20);
  }

  it('copies what workers on one host keep from pools on the other, each byte once', async () => {
    const owners = await started(2, onHost(0));
    const joiners = await started(2, { ...onHost(1), pull: {} });
    for (const seed of [1, 2]) {
      const { path, tensors } = await written(seed);
      const totalBytes = tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
      await owners.register(`step-${seed}`, { files: path });
      await owners.gather(`step-${seed}`);
      await joiners.load(await owners.metas(`step-${seed}`));
      for (let turn = 0; turn < 2; turn++) {
        const before = receivedBytes(1);
        expectPulled(await joiners.update(`step-${seed}`, { bucketBytes: 256 * 1024 }));
        // Every byte is on one of the two ranks, and replicated tensors are on both.
        expectOnce(readOf(joiners, [0, 1]), totalBytes, receivedBytes(1) - before, tensors.length);
        await expectHeld(joiners, tensors, 2);
      }
      // Both ranks of the host read.
      for (const rank of [0, 1]) expect(readOf(joiners, [rank])).toBeGreaterThan(totalBytes / 4);
    }
  });

  it('reads what a tensor-parallel pair on each of two hosts keeps once per host', async () => {
    const world = await started(4, { ...across(2), pull: { parallelSize: 2 } });
    const { path, tensors } = await written(3);
    await world.register('a', { files: path });
    await world.gather('a');
    const held = await world.onAll((rank) => rank.call<number>('heldBytes', { name: 'a' }));
    for (let turn = 0; turn < 3; turn++) {
      const before = [receivedBytes(0), receivedBytes(1)];
      expectPulled(await world.update('a', { bucketBytes: 256 * 1024 }));
      for (const [host, own] of [
        [0, [0, 1]],
        [1, [2, 3]],
      ] as const) {
        const elsewhere = held.reduce((sum, bytes, rank) => sum + (own.includes(rank as never) ? 0 : bytes), 0);
        const carried = receivedBytes(host) - before[host]!;
        expectOnce(readOf(world, own), elsewhere, carried, tensors.length);
      }
      await expectHeld(world, tensors, 2);
    }
  });

  it('transfers only what is needed if a tensor-parallel group spans the hosts', async () => {
    const world = await started(4, { ...across(2), pull: {} });
    const { path, tensors } = await written(4);
    await world.register('a', { files: path });
    await world.gather('a');
    const totalBytes = tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    const before = receivedBytes(0) + receivedBytes(1);
    expectPulled(await world.update('a', { bucketBytes: 256 * 1024 }));
    await expectHeld(world, tensors, 4);
    // Rows and experts of the other host are not read; columns of a matrix are read with the bytes between them.
    const carried = receivedBytes(0) + receivedBytes(1) - before;
    expect(readOf(world, [0, 1, 2, 3])).toBeLessThan(0.8 * totalBytes);
    expect(carried).toBeLessThan(0.8 * totalBytes * (1 + OVERHEAD) + 2 ** 20);
  });

  it('proves and pulls what workers first take through their loader', async () => {
    const world = await started(4, {
      ...across(2),
      pull: { parallelSize: 2, prove: true, inBuckets: ['norm.0'] },
    });
    const { path, tensors } = await written(5);
    await world.register('a', { files: path });
    await world.gather('a');
    const pulled: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const results = await world.update('a', { bucketBytes: 256 * 1024 });
      pulled.push(results[3]!.pulledBytes);
      await expectHeld(world, tensors, 2);
    }
    expect(pulled[0]).toBe(0);
    expect(pulled[1]).toBeGreaterThan(0);
    expect(pulled[2]).toBe(pulled[1]);
  });
});
