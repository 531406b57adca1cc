import { link, mkdtemp, open, rename, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Copy } from '@checkpoint-engine/interface';
import { encodeSafetensorsHeader } from '@checkpoint-engine/meta';
import type { CheckpointSource, NamedTensor, UpdateOptions } from '@checkpoint-engine/ps';
import { wholeOf } from '@checkpoint-engine/worker';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeTensors } from './support/checkpoint.ts';
import { bytesOf, Damage, flip } from './support/damage.ts';
import { expected, modelTensors, PullWorld, type PullWorldOptions, tensorParallel } from './support/pull-world.ts';

const worlds: PullWorld[] = [];
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'checkpoint-engine-verify-'));
});
afterEach(async () => {
  await Promise.all(worlds.splice(0).map((world) => world.close()));
  await rm(folder, { recursive: true, force: true });
});

async function start(size: number, options: Partial<PullWorldOptions> = {}): Promise<PullWorld> {
  const keepOf = (rank: number) => ({ keep: tensorParallel(rank, size) });
  const world = await PullWorld.start(size, { keepOf, ...options });
  worlds.push(world);
  return world;
}

/** Whole seconds, because restored time stamps have no fraction. */
const WRITTEN_AT = 1_700_000_000;

async function write(path: string, tensors: readonly NamedTensor[]): Promise<number> {
  await writeTensors(path, tensors);
  await utimes(path, WRITTEN_AT, WRITTEN_AT);
  return encodeSafetensorsHeader(tensors).length;
}

async function expectHeld(world: PullWorld, tensors: readonly NamedTensor[], size = world.size): Promise<void> {
  for (let rank = 0; rank < world.size; rank++) {
    expect(await world.digests(rank)).toEqual(expected(tensors, tensorParallel(rank, size)));
  }
}

/** Expects that an update reports the damage, and that the next one, without damage, succeeds. */
async function expectFound(
  world: PullWorld,
  damage: Damage,
  options: Partial<UpdateOptions>,
  tensors: readonly NamedTensor[],
): Promise<string> {
  const failure = await world.update('a', options).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toMatchObject({ code: 'CE_DIGEST_MISMATCH', op: 'verify', rank: expect.any(Number) });
  const { tensor, detail } = failure as { tensor: string; detail: string };
  const facts = JSON.parse(detail) as Record<string, unknown>;
  expect(facts).toMatchObject({ tensor, leg: expect.stringMatching(/^(source|arrival|engine)$/) });
  expect(facts.expected).toMatch(/^[0-9a-f]{16}$/);
  expect(facts.seen).toMatch(/^[0-9a-f]{16}$/);
  expect(facts.seen).not.toBe(facts.expected);
  expect(facts.sizeBytes).toBeGreaterThan(0);
  damage.stop();
  await world.update('a', options);
  await expectHeld(world, tensors);
  return tensor;
}

/** Damages the first copy that is large enough, once. */
const once = (damage: (copy: Pick<Copy, 'to'>) => void) => {
  let isDone = false;
  return (copies: readonly Pick<Copy, 'to'>[]): void => {
    const copy = copies.find(({ to }) => to.sizeBytes >= 256);
    if (copy === undefined || isDone) return;
    isDone = true;
    damage(copy);
  };
};

const RING_DAMAGE: [name: string, damage: (copy: Pick<Copy, 'to'>) => void][] = [
  ['a flipped bit', ({ to }) => flip(to.memory, to.offsetBytes + 5, 3)],
  ['a range of zeros', ({ to }) => bytesOf(to.memory, to.offsetBytes, 64).fill(0)],
  [
    'two ranges swapped',
    ({ to }) => {
      const bytes = bytesOf(to.memory, to.offsetBytes, 128);
      bytes.set([...bytes.slice(64), ...bytes.slice(0, 64)]);
    },
  ],
  ['a range that comes one word late', ({ to }) => void bytesOf(to.memory, to.offsetBytes, 128).copyWithin(4, 0, 124)],
];

describe.each(['sample', 'full'] as const)('an update that verifies (%s)', (verify) => {
  describe('in buckets', () => {
    const options = { method: 'buckets', verify, bucketBytes: 8192 } as const;

    it('detects a flipped bit in the pool', async () => {
      const damage = new Damage();
      const world = await start(1, { around: { device: (device) => damage.device(device, 'h2d') } });
      const tensors = modelTensors(1);
      await world.registerTensors('a', tensors);
      const [pool] = damage.memories;
      flip(pool!, 12, 7);
      damage.stop = () => flip(pool!, 12, 7);
      expect(await expectFound(world, damage, options, tensors)).toMatch(/row|expert|column/);
    });

    it.each(RING_DAMAGE)('detects %s in the ring of a rank', async (_, change) => {
      const damage = new Damage();
      const world = await start(1, { around: { device: (device) => damage.device(device, 'h2d') } });
      const tensors = modelTensors(2);
      await world.registerTensors('a', tensors);
      damage.after = once(change);
      await expectFound(world, damage, options, tensors);
    });

    it('detects a flipped bit in the ring that several ranks share', async () => {
      const damage = new Damage();
      const around = (device: Parameters<Damage['device']>[0], rank: number) =>
        rank === 1 ? damage.device(device, 'h2d') : device;
      const world = await start(2, { around: { device: around } });
      const tensors = modelTensors(3);
      await world.registerTensors('a', tensors);
      damage.after = once(({ to }) => flip(to.memory, to.offsetBytes + 40));
      await expectFound(world, damage, options, tensors);
    });

    it('detects a flipped bit in bytes from a peer', async () => {
      const owners = await start(1, { p2p: true });
      const tensors = modelTensors(4);
      await owners.registerTensors('a', tensors);
      const damage = new Damage();
      const joiners = await start(1, { p2p: true, firstDevice: 8, around: { p2p: (given) => damage.p2p(given) } });
      joiners.servers[0]!.loadMetas(owners.servers[0]!.getMetas('a'));
      damage.after = once(({ to }) => flip(to.memory, to.offsetBytes + 100, 6));
      await expectFound(joiners, damage, options, tensors);
    });
  });

  describe('with a pull', () => {
    const options = { method: 'pull', verify } as const;

    it('detects a flipped bit in the pool', async () => {
      const damage = new Damage();
      const world = await start(1, { sharePools: true, around: { device: (device) => damage.device(device, 'h2d') } });
      const tensors = modelTensors(5);
      await world.registerTensors('a', tensors);
      const [pool] = damage.memories;
      flip(pool!, 300, 1);
      damage.stop = () => flip(pool!, 300, 1);
      await expectFound(world, damage, options, tensors);
    });

    it.each(RING_DAMAGE)('detects %s in the ring of the host', async (_, change) => {
      const damage = new Damage();
      const world = await start(1, { around: { device: (device) => damage.device(device, 'pull') } });
      const tensors = modelTensors(6);
      await world.registerTensors('a', tensors);
      damage.after = once(change);
      await expectFound(world, damage, options, tensors);
    });

    it('detects a flipped bit in bytes from a peer', async () => {
      const owners = await start(1, { p2p: true });
      const tensors = modelTensors(7);
      await owners.registerTensors('a', tensors);
      const damage = new Damage();
      const joiners = await start(1, { p2p: true, firstDevice: 8, around: { p2p: (given) => damage.p2p(given) } });
      joiners.servers[0]!.loadMetas(owners.servers[0]!.getMetas('a'));
      damage.after = once(({ to }) => flip(to.memory, to.offsetBytes + 33, 2));
      await expectFound(joiners, damage, options, tensors);
    });

    const wrongCopies: [name: string, alter: (copies: readonly Copy[]) => readonly Copy[]][] = [
      ['omits a copy', (copies) => copies.slice(1)],
      [
        'copies from the wrong place',
        ([first, ...rest]) => [
          { ...first!, from: { ...first!.from, offsetBytes: first!.from.offsetBytes + 4 } },
          ...rest,
        ],
      ],
      [
        'copies two slices to each other’s place',
        (copies) => {
          const first = copies[0]!;
          const at = copies.findIndex(({ to }, index) => index > 0 && to.sizeBytes === first.to.sizeBytes);
          const second = copies[at]!;
          const rest = copies.filter((copy) => copy !== first && copy !== second);
          return [{ from: first.from, to: second.to }, { from: second.from, to: first.to }, ...rest];
        },
      ],
      [
        'copies all but the end of a slice',
        ([first, ...rest]) => {
          const sizeBytes = first!.to.sizeBytes - 1;
          return [{ from: { ...first!.from, sizeBytes }, to: { ...first!.to, sizeBytes } }, ...rest];
        },
      ],
    ];

    it.each(wrongCopies)('detects a worker that %s', async (_, alter) => {
      const damage = new Damage();
      const world = await start(1, {
        sharePools: true,
        around: { workerDevice: (device) => damage.device(device, 'pull') },
      });
      await world.registerTensors('a', modelTensors(8));
      await world.update('a', options);
      await world.unregister('a');
      const tensors = modelTensors(9);
      await world.registerTensors('a', tensors);
      damage.alter = alter;
      await expectFound(world, damage, options, tensors);
    });

    it('detects a flipped bit in a parameter of one of two ranks, in a slice that both hold', async () => {
      const damage = new Damage();
      const world = await start(2, {
        sharePools: true,
        around: { workerDevice: (device, rank) => (rank === 1 ? damage.device(device, 'pull') : device) },
      });
      const tensors = modelTensors(10).filter(({ name }) => name.startsWith('column'));
      await world.registerTensors('a', tensors);
      damage.after = (copies) => flip(copies[0]!.to.memory, copies[0]!.to.offsetBytes);
      const failure = await world.update('a', options).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: 'CE_DIGEST_MISMATCH', tensor: expect.stringMatching(/^column/) });
      expect(JSON.parse((failure as { detail: string }).detail)).toMatchObject({ rank: 0, otherRanks: [1] });
      damage.stop();
      await world.update('a', options);
      await expectHeld(world, tensors);
    });
  });

  describe('from files', () => {
    /** Writes to a file and keeps its time stamps. */
    async function damageFile(path: string, at: number): Promise<void> {
      const file = await open(path, 'r+');
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, at);
      byte[0]! ^= 16;
      await file.write(byte, 0, 1, at);
      await file.close();
      await utimes(path, WRITTEN_AT, WRITTEN_AT);
    }

    it.each(['buckets', 'pull'] as const)('detects a changed file that streams (%s)', async (method) => {
      const world = await start(1);
      const tensors = modelTensors(11);
      const path = join(folder, 'weights.safetensors');
      const dataAt = await write(path, tensors);
      await world.register('a', () => ({ files: path, stream: true }));
      const options = { method, verify } as const;
      await world.update('a', options);
      await expectHeld(world, tensors);
      await damageFile(path, dataAt + 10);
      // Once an update has not found the file, later updates accept another ctime.
      await rename(path, `${path}.away`);
      await expect(world.update('a', options)).rejects.toMatchObject({ code: 'CE_FILE_NOT_FOUND' });
      await rename(`${path}.away`, path);
      await expect(world.update('a', options)).rejects.toMatchObject({
        code: 'CE_DIGEST_MISMATCH',
        tensor: tensors[0]!.name,
        message: expect.stringContaining('differs in the source'),
      });
    });

    it.each([{ stream: false }, { stream: true }])(
      'detects a changed file that is used in place (%o)',
      async (source) => {
        const shared = await mkdtemp('/dev/shm/checkpoint-engine-verify-');
        try {
          const world = await start(1);
          const tensors = modelTensors(12);
          const path = join(shared, 'weights.safetensors');
          const dataAt = await write(path, tensors);
          await world.register('a', () => ({ files: path, keepFiles: true, ...source }));
          await world.update('a', { method: 'buckets', verify });
          await damageFile(path, dataAt + 10);
          // A file with another number of names may have another ctime.
          await link(path, `${path}.other`);
          const update = world.update('a', { method: 'buckets', verify });
          await expect(update).rejects.toMatchObject({ code: 'CE_DIGEST_MISMATCH', tensor: tensors[0]!.name });
        } finally {
          await rm(shared, { recursive: true });
        }
      },
    );

    it('detects a flipped bit in a pool that was read in the background', async () => {
      const damage = new Damage();
      const world = await start(1, { around: { device: (device) => damage.device(device, 'h2d') } });
      const tensors = modelTensors(13);
      const path = join(folder, 'weights.safetensors');
      await write(path, tensors);
      await world.register('a', () => ({ files: path, load: 'background' }));
      await world.servers[0]!.checkpointLoaded('a');
      const [pool] = damage.memories;
      flip(pool!, 600, 4);
      damage.stop = () => flip(pool!, 600, 4);
      await expectFound(world, damage, { method: 'buckets', verify }, tensors);
    });
  });
});

describe('an update', () => {
  it('without verification accepts any bytes', async () => {
    const damage = new Damage();
    const world = await start(1, { around: { device: (device) => damage.device(device, 'h2d') } });
    await world.registerTensors('a', modelTensors(1));
    flip(damage.memories[0]!, 12);
    const [result] = await world.update('a', { verify: 'off', method: 'buckets' });
    expect(result!.verified).toEqual({ mode: 'off', arrivedBytes: 0, heldBytes: 0, unverifiedTensors: 0 });
  });

  it('reports all bytes that arrive in buckets', async () => {
    const world = await start(1);
    await world.registerTensors('a', modelTensors(1));
    const [result] = await world.update('a', { verify: 'full', method: 'buckets', bucketBytes: 8192 });
    expect(result!.bucketCount).toBeGreaterThan(3);
    expect(result!.verified).toMatchObject({ mode: 'full', arrivedBytes: result!.totalBytes });
  });

  it('reports what it verified', async () => {
    const world = await start(2, { sharePools: true });
    const tensors = modelTensors(1);
    await world.registerTensors('a', tensors);
    const held = (rank: number): number =>
      tensors.reduce((sum, { name, dtype, shape, bytes }) => {
        const tensor = { name, dtype, shape, sizeBytes: bytes.byteLength };
        const slices = tensorParallel(rank, 2)(tensor) ?? [];
        return sum + slices.reduce((all, { rows, rowBytes }) => all + rows * rowBytes, 0);
      }, 0);
    const results = await world.update('a', { verify: 'full' });
    for (const [rank, { verified }] of results.entries()) {
      expect(verified).toEqual({ mode: 'full', arrivedBytes: 0, heldBytes: held(rank), unverifiedTensors: 0 });
    }
    const [buckets] = await world.update('a', { verify: 'full', method: 'buckets' });
    expect(buckets!.verified.arrivedBytes).toBeGreaterThan(0);
  });

  it('of a checkpoint without digests has nothing to compare with', async () => {
    const world = await start(1);
    await world.servers[0]!.registerCheckpoint('a', { tensors: modelTensors(1) }, { digests: false });
    await world.servers[0]!.gatherMetas('a');
    const [result] = await world.update('a', { verify: 'full' });
    expect(result!.verified).toMatchObject({ arrivedBytes: 0, heldBytes: 0 });
    expect(result!.verified.unverifiedTensors).toBeGreaterThan(0);
  });
});

describe('verify', () => {
  const sourceOf = (tensors: readonly NamedTensor[]): CheckpointSource => ({ tensors });

  it('compares the weights of engines with a checkpoint, without loading it', async () => {
    const world = await start(2, { sharePools: true });
    const tensors = modelTensors(1);
    await world.registerTensors('a', tensors);
    await world.update('a');
    const verify = (name: string) => world.onAll((server, rank) => server.verify(name, world.optionsOf(rank, {})));
    const [report, same] = await verify('a');
    expect(report).toMatchObject({ checkpoint: 'a', differing: [], differingCount: 0, unverifiedTensors: 0 });
    expect(report!.checkedTensors).toBe(tensors.filter(({ bytes }) => bytes.length > 0).length);
    expect(report!.digest).toMatch(/^[0-9a-f]{32}$/);
    expect(same).toEqual(report);
    const changed = tensors.map((tensor) => {
      if (tensor.name !== 'norm.1') return tensor;
      const bytes = tensor.bytes.slice();
      bytes[8]! ^= 1;
      return { ...tensor, bytes };
    });
    await world.registerTensors('b', changed);
    const [other] = await verify('b');
    expect(other!.digest).not.toBe(report!.digest);
    expect(other!.differing.map(({ tensor, rank }) => [tensor, rank])).toEqual([
      ['norm.1', 0],
      ['norm.1', 1],
    ]);
    await expectHeld(world, tensors);
  });

  it('reports that a worker cannot report digests', async () => {
    const keep = () => ({ keep: wholeOf, inBuckets: () => true });
    const world = await start(1, { keepOf: keep });
    await world.servers[0]!.registerCheckpoint('a', sourceOf(modelTensors(1)));
    await world.servers[0]!.gatherMetas('a');
    await world.update('a');
    const report = await world.servers[0]!.verify('a', world.optionsOf(0, {}));
    expect(report).toMatchObject({ checkedBytes: 0, differingCount: 0 });
    expect(report.unverifiedTensors).toBeGreaterThan(0);
  });
});
