import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { engineProcesses, mooncakeForTests } from '../../transport-rdma/test/support/mooncake.ts';
import { mixedTensors, type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';
import { type TwoHosts, twoHosts } from './support/namespaces.ts';
import { World, type WorldOptions } from './support/world.ts';

const { python, missing } = await mooncakeForTests();
const hosts = missing ?? twoHosts();
const reason = typeof hosts === 'string' ? hosts : undefined;
if (reason !== undefined) console.warn(`Joins between hosts are not tested: ${reason}`);

describe.skipIf(reason)('a world that joins from another host, over Mooncake', () => {
  // A skipped suite's body runs too.
  const { addresses, on, remove } = (typeof hosts === 'string' ? {} : hosts) as TwoHosts;
  const worlds: World[] = [];
  const checkpoints: TestCheckpoint[] = [];
  afterEach(async () => {
    await Promise.all(worlds.splice(0).map((world) => world.end()));
    for (const checkpoint of checkpoints.splice(0)) await checkpoint.remove();
  });
  afterAll(() => remove());

  async function started(host: 0 | 1, options: WorldOptions = {}): Promise<World> {
    const [runner, address] = [on(host), addresses[host]];
    const p2p = { python, protocol: 'tcp', host: address };
    const world = await World.start(2, { runner, workerRunner: runner, p2p, nics: [address], ...options });
    worlds.push(world);
    return world;
  }

  it('has every byte right, repeatedly, while joiners are killed, and the serving ranks leak nothing', async () => {
    const checkpoint = await writeCheckpoint(mixedTensors(300), { shardCount: 3 });
    checkpoints.push(checkpoint);
    const a = await started(0);
    await a.register('a', { files: checkpoint.folder });
    await a.gather('a');
    // Files that their own updates keep open are not counted.
    await a.update('a');
    const metas = await a.metas('a');
    const usage = () => a.onAll((rank) => rank.call<{ openFiles: number }>('usage'));
    const openFiles = async () => (await usage()).map((each) => each.openFiles);
    const before = await openFiles();
    const added = async () => (await openFiles()).map((count, rank) => Math.max(0, count - before[rank]!));

    const killed = await started(1);
    await killed.load(metas);
    const [engine] = killed.workers;
    await engine!.call('plant', { kind: 'hold', bucket: 1 });
    const cut = killed.update('a', { bucketBytes: 256 * 1024 });
    cut.catch(() => {});
    await engine!.call('held'); // some is read, and some is not
    await killed.kill();
    await expect(cut).rejects.toThrow(/SIGKILL/);
    worlds.splice(worlds.indexOf(killed), 1);

    for (const options of [{}, { broadcast: false }]) {
      const b = await started(1, options);
      await b.load(metas);
      // The serving ranks continue with their own updates.
      await Promise.all([b.update('a', { bucketBytes: 2 ** 20 }), a.update('a')]);
      for (const index of [0, 1]) expect(await b.digests(index)).toEqual(checkpoint.digests);
      await b.end();
      worlds.splice(worlds.indexOf(b), 1);
    }
    for (const index of [0, 1]) expect(await a.digests(index)).toEqual(checkpoint.digests);
    await expect.poll(added).toEqual([0, 0]);
    for (const { process } of a.ranks) expect(engineProcesses(process.pid!)).toHaveLength(1);
  });

  it('reads from another holder when an owner dies during the read', async () => {
    const checkpoint = await writeCheckpoint(mixedTensors(300), { shardCount: 3 });
    checkpoints.push(checkpoint);
    const [a, others] = await Promise.all([started(0), started(0)]);
    for (const world of [a, others]) {
      await world.register('a', { files: checkpoint.folder });
      await world.gather('a');
    }
    const b = await started(1);
    await b.load(await a.metas('a'), [await others.metas('a')]);
    const update = () => b.update('a', { bucketBytes: 128 * 1024 });
    await b.inTheMiddle(0, 1, update, () => a.ranks[1]!.kill());
    for (const index of [0, 1]) expect(await b.digests(index)).toEqual(checkpoint.digests);
    await a.kill(); // the remaining rank would wait for the one that died
    worlds.splice(worlds.indexOf(a), 1);
  });

  it('reports that the owners are gone, and after their return, that they hold something else', async () => {
    const checkpoint = await writeCheckpoint(mixedTensors(12), { shardCount: 1 });
    checkpoints.push(checkpoint);
    const p2p = { python, protocol: 'tcp', host: addresses[0] };
    const owner = async (ports: readonly [number, number]): Promise<World> => {
      const world = await World.start(1, { runner: on(0), workerRunner: on(0), p2p: { ...p2p, ports } });
      worlds.push(world);
      await world.register('a', { files: checkpoint.folder });
      await world.gather('a');
      return world;
    };
    const ports = [20_000, 20_009] as const;
    const first = await owner(ports);
    const metas = await first.metas('a');
    await first.kill();
    worlds.splice(worlds.indexOf(first), 1);

    const b = await started(1);
    await b.load(metas);
    for (const error of await b.failedUpdate('a'))
      expect(error).toMatchObject({ code: 'CE_PEER_UNREACHABLE', peer: 0 });
    await owner(ports);
    for (const error of await b.failedUpdate('a')) {
      expect(error).toMatchObject({
        code: expect.stringMatching(/^CE_(RANGE_NOT_REGISTERED|PEER_UNREACHABLE)$/),
        peer: 0,
      });
    }
  });
});

// A FAKE driver replaces CUDA's: only with GPUs are files in memory that other processes can map.
const packages = fileURLToPath(new URL('../..', import.meta.url));
const fakeCuda = join(packages, 'device', 'build', 'libfake-cuda.so');

describe.skipIf(missing)('files used in place on /dev/shm, where a file without a name cannot be opened', () => {
  beforeAll(() => {
    execFileSync('make', ['-C', join(packages, 'device', 'native'), '-s', 'fake-cuda']);
  });
  const ends: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    await Promise.all(ends.splice(0).map((end) => end()));
  });

  it.each(['now', 'background'] as const)(
    'are copied, so that a world that joins can read them, and stay (load: %s)',
    async (load) => {
      const inPlace = await writeCheckpoint(mixedTensors(10), { parent: '/dev/shm', shardCount: 1 });
      const onDisk = await writeCheckpoint(mixedTensors(20).slice(10), { shardCount: 1 });
      ends.push(inPlace.remove, onDisk.remove);
      // Only a process with this capability, such as one of root, may open an unlinked file.
      const unprivileged = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-all', '--'] : [];
      const runner = ['env', `CHECKPOINT_ENGINE_CUDA_LIB=${fakeCuda}`, ...unprivileged];
      const p2p = { python, protocol: 'tcp' };
      const started = async (options: WorldOptions): Promise<World> => {
        const world = await World.start(1, { p2p, ...options });
        ends.push(() => world.end());
        return world;
      };
      const [a, b] = await Promise.all([started({ runner, device: 'cuda' }), started({})]);
      const files = [inPlace.files[0]!, onDisk.files[0]!];
      await a.register('a', { files, load });
      await a.onAll((rank) => rank.call('loaded', { name: 'a' }));
      await a.gather('a');
      await a.onAll((rank) => rank.call('removeFiles', { name: 'a' }));
      expect(files.map((file) => existsSync(file))).toEqual([true, true]);
      await b.load(await a.metas('a'));
      await b.update('a');
      expect(await b.digests(0)).toEqual({ ...inPlace.digests, ...onDisk.digests });
    },
  );
});
