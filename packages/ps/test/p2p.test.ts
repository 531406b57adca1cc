import { existsSync, readdirSync } from 'node:fs';
import { decodeWorldMetas, encodeWorldMetas, type RankMetas } from '@checkpoint-engine/meta';
import { afterEach, describe, expect, it } from 'vitest';
import { mixedTensors, removedCheckpoints } from './support/checkpoint.ts';
import { World, type WorldOptions } from './support/world.ts';

const MIB = 2 ** 20;
const worlds: World[] = [];
const made = removedCheckpoints();

afterEach(async () => {
  await Promise.all(worlds.splice(0).map((world) => world.end()));
});

async function started(size: number, options: WorldOptions): Promise<World> {
  const world = await World.start(size, options);
  worlds.push(world);
  return world;
}

/** A world that holds a checkpoint in its pools, and its metas. */
async function owners(size: number, folder: string, options: WorldOptions = { p2p: 'shm' }) {
  const world = await started(size, options);
  const registered = await world.register('a', { files: folder });
  await world.gather('a');
  return { world, registered, metas: await world.metas('a') };
}

const changed = (metas: string, change: (metas: RankMetas) => RankMetas): string =>
  Buffer.from(encodeWorldMetas(decodeWorldMetas(Buffer.from(metas, 'base64')).map(change))).toString('base64');

describe('an update of some ranks of a world', () => {
  it.each([
    ['read from the others by P2P', { p2p: 'shm' }],
    ['sent by the others, without P2P', {}],
    ['read by each rank for itself, without broadcast', { p2p: 'shm', broadcast: false }],
  ] as const)('delivers every byte only to their workers: %s', async (_, options) => {
    const { folder, digests } = await made(mixedTensors(120), { shardCount: 3 });
    const { world } = await owners(4, folder, options);
    const ranks = [1, 2];
    const results = await world.update('a', { ranks, bucketBytes: MIB, inferenceParallelSize: 1 });
    for (const rank of ranks) expect(await world.digests(rank)).toEqual(digests);
    for (const rank of [0, 3]) expect(await world.digests(rank)).toEqual({});
    const isRead = 'p2p' in options;
    expect(results.map(({ deviceBytes }) => deviceBytes > 0)).toEqual([!isRead, true, true, !isRead]);
    expect(world.passed).toEqual(world.planned);
    expect(world.planned.size).toBe(isRead ? 2 : 4);
    // Another set of ranks, then all of them.
    await world.update('a', { ranks: [3], bucketBytes: MIB });
    expect(await world.digests(3)).toEqual(digests);
    await world.update('a', { bucketBytes: MIB });
    expect(await world.digests(0)).toEqual(digests);
  });

  it('is sent by owners whose memory peers cannot read, because they stream', async () => {
    const { folder, digests } = await made(mixedTensors(20), { shardCount: 3 });
    const world = await started(2, { p2p: 'shm' });
    await world.register('a', { files: folder, stream: true });
    await world.gather('a');
    await world.update('a', { ranks: [1] });
    expect(await world.digests(1)).toEqual(digests);
    expect(world.planned.size).toBe(2);
  });

  it('uses files on /dev/shm in place if they stream, because peers read none of them', async () => {
    const checkpoint = await made(mixedTensors(20), { parent: '/dev/shm' });
    const world = await started(2, { p2p: 'shm' });
    const registered = await world.register('a', { files: checkpoint.folder, stream: true });
    await world.gather('a');
    for (const { warnings } of registered) expect(warnings).toEqual([]);
    expect(checkpoint.files.filter((file) => existsSync(file))).toEqual(checkpoint.files);
    await world.update('a', { ranks: [1] });
    expect(checkpoint.files.filter((file) => existsSync(file))).toEqual([]);
    expect(await world.digests(1)).toEqual(checkpoint.digests);
  });

  it('is refused on all ranks if the ranks are invalid, and the next one works', async () => {
    const { folder, digests } = await made(mixedTensors(20), { shardCount: 3 });
    const { world } = await owners(3, folder, {});
    for (const options of [{ ranks: [3] }, { ranks: [0], inferenceParallelSize: 3 }]) {
      for (const { message } of await world.failedUpdate('a', options)) {
        expect(message).toMatch(/^ranks (has 3, expected ranks of this world|leaves out rank 1)/);
      }
    }
    await world.update('a');
    expect(await world.digests(2)).toEqual(digests);
  });
});

describe('a world that joins', () => {
  it.each([
    ['with broadcast', { p2p: 'shm' }],
    ['without', { p2p: 'shm', broadcast: false }],
  ] as const)('reads every byte from the pools of the serving world, %s', async (_, options) => {
    const { folder, digests } = await made(mixedTensors(300), { shardCount: 3 });
    const { world: a, metas } = await owners(2, folder);
    const b = await started(3, options);
    await b.load(metas);
    const read = new Map<number, number>();
    b.onBucketEnd = (rank, { stage }) => stage === 'read' && read.set(rank, (read.get(rank) ?? 0) + 1);
    const [result] = await b.update('a', { bucketBytes: MIB });
    for (const index of [0, 1, 2]) expect(await b.digests(index)).toEqual(digests);
    expect(b.passed).toEqual(b.planned);
    const readBytes = [...b.planned.values()].reduce((sum, bytes) => sum + bytes.read, 0);
    expect(readBytes).toBe(b.planned.get(0)!.reload * ('broadcast' in options ? 3 : 1));
    const reads = [...read.values()].reduce((sum, count) => sum + count, 0);
    expect(reads).toBeGreaterThan(0);
    if ('broadcast' in options) expect(reads % result!.bucketCount).toBe(0);
    else expect(reads).toBeLessThanOrEqual(result!.bucketCount);
    // The serving ranks are unaffected: they can update their own workers and unregister the checkpoint.
    await a.update('a');
    expect(await a.digests(1)).toEqual(digests);
    await a.onAll((rank) => rank.call('unregister', { name: 'a' }));
    expect(segmentsOf(a)).toEqual([]);
    for (const error of await b.failedUpdate('a')) {
      expect(error).toMatchObject({ code: 'CE_RANGE_NOT_REGISTERED', hint: expect.stringContaining('metas') });
    }
  });

  it('reads the data of owners on the host from files on /dev/shm, which stay', async () => {
    const checkpoint = await made(mixedTensors(20), { parent: '/dev/shm' });
    const { metas, registered } = await owners(2, checkpoint.folder);
    for (const { warnings } of registered)
      expect(warnings).toEqual([expect.stringMatching(/Files on \/dev\/shm \(2\)/)]);
    expect(checkpoint.files.filter((file) => existsSync(file))).toEqual(checkpoint.files);
    const joiner = await started(1, { p2p: 'shm' });
    await joiner.load(metas);
    await joiner.update('a');
    expect(await joiner.digests(0)).toEqual(checkpoint.digests);
  });

  it('may run several times at once', async () => {
    const { folder, digests } = await made(mixedTensors(60), { shardCount: 3 });
    const { metas } = await owners(2, folder);
    const joiners = [await started(1, { p2p: 'shm' }), await started(1, { p2p: 'shm' })];
    for (const joiner of joiners) await joiner.load(metas);
    await Promise.all(joiners.map((joiner) => joiner.update('a', { bucketBytes: MIB })));
    for (const joiner of joiners) expect(await joiner.digests(0)).toEqual(digests);
  });

  it('reads from another holder when an owner dies, and reports if there is none', async () => {
    const { folder, digests } = await made(mixedTensors(300), { shardCount: 3 });
    const { world: a, metas } = await owners(2, folder);
    const { metas: others } = await owners(3, folder);
    const joiner = await started(1, { p2p: 'shm' });
    await joiner.load(metas, [others]);
    const update = () => joiner.update('a', { bucketBytes: 128 * 1024 });
    await joiner.inTheMiddle(0, 1, update, () => a.ranks[1]!.kill());
    expect(await joiner.digests(0)).toEqual(digests);
    await joiner.load(metas);
    const [error] = await joiner.failedUpdate('a');
    expect(error).toMatchObject({ code: 'CE_PEER_UNREACHABLE', peer: 1 });
    expect(JSON.stringify(error)).not.toContain('shm:');
    // It works again with the other owners.
    await joiner.load(metas, [others]);
    await joiner.update('a');
    expect(await joiner.digests(0)).toEqual(digests);
    // The remaining rank would wait for the one that died.
    await a.kill();
  });

  it('reports problems of the metas before any data moves', async () => {
    const { folder, digests } = await made(mixedTensors(20), { shardCount: 3 });
    const { metas } = await owners(1, folder);
    const joiner = await started(1, { p2p: 'shm' });
    const withoutAddress = changed(metas, ({ p2pAddress: _, ...rest }) => rest);
    const withoutRegions = changed(metas, (own) => ({
      ...own,
      regions: own.regions.map(({ sizeBytes }) => ({ sizeBytes })),
    }));
    const deadAddress = changed(metas, (own) => ({ ...own, p2pAddress: own.p2pAddress!.replace(/:[^:]+:/, ':gone:') }));
    for (const [wrong, code, message] of [
      [withoutAddress, 'CE_METAS_INVALID', /Rank 0 .* no P2P address/],
      [withoutRegions, 'CE_METAS_INVALID', /Rank 0 .* in files/],
      [deadAddress, 'CE_PEER_UNREACHABLE', /Owner rank 0/],
    ] as const) {
      await joiner.load(wrong);
      const [error] = await joiner.failedUpdate('a');
      expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    }
    const renamed = changed(metas, (own) => ({ ...own, checkpoint: 'b' }));
    await expect(joiner.load(metas, [renamed])).rejects.toMatchObject({ code: 'CE_METAS_INVALID' });
    await joiner.load(metas);
    await joiner.update('a');
    expect(await joiner.digests(0)).toEqual(digests);
  });

  it('needs a P2P transport', async () => {
    const { folder } = await made(mixedTensors(5), { shardCount: 3 });
    const { metas } = await owners(1, folder);
    const joiner = await started(1, {});
    await joiner.load(metas);
    const [error] = await joiner.failedUpdate('a');
    expect(error).toMatchObject({ code: 'CE_CONFIG_INVALID', message: expect.stringContaining('no P2P transport') });
  });
});

function segmentsOf({ ranks, workers }: World): string[] {
  const pids = [...ranks, ...workers].map(({ process }) => `-${process.pid}-`);
  return readdirSync('/dev/shm').filter((name) => pids.some((pid) => name.includes(pid)));
}
