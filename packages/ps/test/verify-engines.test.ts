// What engines hold, compared with checkpoints: real ranks, workers and files on the host device.
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeSafetensorsHeader } from '@checkpoint-engine/meta';
import type { NamedTensor, VerifyReport } from '@checkpoint-engine/ps';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { expected, modelTensors, PullWorld, type PullWorldOptions, tensorParallel } from './support/pull-world.ts';

const MIB = 2 ** 20;
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
  const keepOf = (rank: number) => ({ keep: tensorParallel(rank, size), prove: true });
  const world = await PullWorld.start(size, { keepOf, sharePools: true, ...options });
  worlds.push(world);
  return world;
}

const verify = (world: PullWorld, name: string): Promise<VerifyReport[]> =>
  world.onAll((server, rank) => server.verify(name, world.optionsOf(rank, {})));

/** An engine that has proved what it pulls. */
async function updated(world: PullWorld, tensors: readonly NamedTensor[]): Promise<void> {
  await world.registerTensors('a', tensors);
  await world.update('a');
}

const large = (name: string, seed: number, rows = 2048, columns = 1536): NamedTensor => {
  const bytes = new Uint8Array(rows * columns).map((_, at) => (Math.imul(at + 1, 2654435761 + seed) >>> 13) & 255);
  return { name, dtype: 'U8', shape: [rows, columns], bytes };
};

async function write(path: string, tensors: readonly NamedTensor[]): Promise<number> {
  const header = encodeSafetensorsHeader([...tensors]);
  await writeFile(path, Buffer.concat([header, ...tensors.map(({ bytes }) => bytes)]));
  return header.length;
}

describe('verify', () => {
  it('finds an engine equal after an update, and names flipped bytes of a parameter by their block', async () => {
    const world = await start(1, { keepOf: () => ({ prove: true, keep: tensorParallel(0, 1) }) });
    const tensors = [...modelTensors(1), large('norm.large', 1)];
    await updated(world, tensors);
    const [equal] = await verify(world, 'a');
    expect(equal).toMatchObject({ differing: [], differingCount: 0, unverifiedTensors: 0 });
    const held = world.workers[0]!.tensors.get('norm.large')!;
    held.bytes()[MIB + 5]! ^= 1;
    const [report] = await verify(world, 'a');
    expect(report).toMatchObject({ digest: equal!.digest, differingCount: 1 });
    const { expected: wanted, seen } = report!.differing[0]!;
    expect(report!.differing).toEqual([
      {
        ...{ rank: 0, otherRanks: [], tensor: 'norm.large', offsetBytes: MIB, sizeBytes: MIB },
        ...{ expected: expect.stringMatching(/^[0-9a-f]{16}$/), seen: expect.stringMatching(/^[0-9a-f]{16}$/) },
      },
    ]);
    expect(seen).not.toBe(wanted);
    held.bytes()[2 * MIB + 5]! ^= 1;
    expect((await verify(world, 'a'))[0]!.differing).toMatchObject([{ offsetBytes: MIB, sizeBytes: 2 * MIB }]);
    held.bytes()[MIB + 5]! ^= 1;
    held.bytes()[2 * MIB + 5]! ^= 1;
    expect((await verify(world, 'a'))[0]).toEqual(equal);
  });

  it('names the blocks of a slice that several ranks hold together', async () => {
    const world = await start(2);
    await updated(world, [...modelTensors(2), large('column.large', 2), large('row.large', 3)]);
    const held = world.workers[1]!.tensors.get('column.large')!;
    held.bytes()[held.sizeBytes - 1]! ^= 128;
    const [report, same] = await verify(world, 'a');
    expect(same).toEqual(report);
    expect(report!.differing).toMatchObject([
      { rank: 0, otherRanks: [1], tensor: 'column.large', offsetBytes: 2 * MIB, sizeBytes: MIB },
    ]);
  });

  it('compares slices over hosts', async () => {
    const world = await start(2, { hostOf: (rank) => `host-${rank}`, p2p: true });
    await updated(world, modelTensors(3));
    const [report] = await verify(world, 'a');
    expect(report).toMatchObject({ differingCount: 0, unverifiedTensors: 0 });
  });

  it('lists a bounded number of differences, and counts all', async () => {
    const tensors = Array.from({ length: 130 }, (_, at): NamedTensor => {
      return { name: `norm.${at}`, dtype: 'F32', shape: [2], bytes: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, at) };
    });
    const world = await start(1);
    await updated(world, tensors);
    await world.registerTensors(
      'b',
      tensors.map((tensor) => ({ ...tensor, bytes: tensor.bytes.map((byte) => byte ^ 64) })),
    );
    const [report] = await verify(world, 'b');
    expect(report!.differing).toHaveLength(100);
    expect(report).toMatchObject({ differingCount: 130, checkedTensors: 130 });
  });

  it('leaves weights, version, records and mapped memory as they are', async () => {
    const world = await start(1);
    const tensors = modelTensors(4);
    await updated(world, tensors);
    const [puller] = world.workers.map((worker) => worker.puller!);
    const before = puller!.report();
    expect(before.proved).toBe(true);
    const ended = vi.fn(async () => {});
    puller!.hold({ closed: new Promise(() => {}), end: ended });
    await verify(world, 'a');
    expect(puller!.report()).toEqual(before);
    expect(ended).not.toHaveBeenCalled();
    expect(await world.digests(0)).toEqual(expected(tensors, tensorParallel(0, 1)));
    const [again] = await world.update('a');
    expect(again!.pulledBytes).toBe(again!.neededBytes);
  });

  it('compares tensors, regardless of the ranks and files that hold them', async () => {
    const world = await start(2);
    const tensors = modelTensors(5);
    await updated(world, tensors);
    const path = join(folder, 'weights.safetensors');
    await write(path, tensors.toReversed());
    await world.register('b', () => ({ files: path, stream: true }));
    const [report] = await verify(world, 'b');
    expect(report).toMatchObject({ differingCount: 0, unverifiedTensors: 0 });
    expect(report!.digest).toBe((await verify(world, 'a'))[0]!.digest);
    // Metas of another world carry the digests: no byte is read.
    const metas = world.servers[0]!.getMetas('a');
    const [only] = metas.map((rank) => ({ ...rank, host: 'elsewhere' }));
    for (const server of world.servers)
      server.loadMetas([only!, ...metas.slice(1)].map((one) => ({ ...one, checkpoint: 'c' })));
    expect((await verify(world, 'c'))[0]).toMatchObject({ differingCount: 0, digest: report!.digest });
  });

  it('reads files that stream for it, and finds bytes that are not those of the update', async () => {
    const world = await start(1);
    const tensors = modelTensors(6);
    await updated(world, tensors);
    const path = join(folder, 'weights.safetensors');
    const dataAt = await write(path, tensors);
    const file = await open(path, 'r+');
    await file.write(Uint8Array.of(tensors[0]!.bytes[7]! ^ 1), 0, 1, dataAt + 7);
    await file.close();
    await world.register('b', () => ({ files: path, stream: true }));
    const [report] = await verify(world, 'b');
    expect(report!.differing.map(({ tensor }) => tensor)).toEqual([tensors[0]!.name]);
    expect(world.events.filter(({ type }) => type === 'register').at(-1)).toMatchObject({ rank: 0 });
  });
});

describe('verify of an engine that cannot compare', () => {
  it('fails before its first update, and works after it', async () => {
    const world = await start(1);
    await world.registerTensors('a', modelTensors(7));
    await expect(verify(world, 'a')).rejects.toMatchObject({
      code: 'CE_NOT_SUPPORTED',
      message: expect.stringContaining('has received no update'),
      hint: expect.stringContaining('Update the engine once'),
    });
    await world.update('a');
    expect((await verify(world, 'a'))[0]).toMatchObject({ differingCount: 0, unverifiedTensors: 0 });
  });

  it('names the tensors in which a checkpoint of another model differs, and the next update still pulls', async () => {
    const world = await start(1);
    const tensors = modelTensors(8);
    await updated(world, tensors);
    const changed = tensors
      .filter(({ name }) => name !== 'norm.2')
      .map((tensor) => (tensor.name === 'norm.1' ? { ...tensor, dtype: 'U8' as const, shape: [57, 4] } : tensor));
    await world.registerTensors('b', [...changed, { ...tensors[0]!, name: 'row.9' }]);
    await expect(verify(world, 'b')).rejects.toMatchObject({
      code: 'CE_ENGINE_MISMATCH',
      message: expect.stringMatching(
        /"norm\.1" is U8 \[57, 4\] in the checkpoint and F32 \[57\] in the engine.*no "row\.9".*the checkpoint has no "norm\.2"/,
      ),
    });
    const [again] = await world.update('a');
    expect(again!.pulledBytes).toBeGreaterThan(0);
    expect((await verify(world, 'a'))[0]).toMatchObject({ differingCount: 0 });
  });

  it('reports that a checkpoint has no digests', async () => {
    const world = await start(1);
    await updated(world, modelTensors(9));
    await world.servers[0]!.registerCheckpoint('b', { tensors: modelTensors(9) }, { digests: false });
    await world.servers[0]!.gatherMetas('b');
    await expect(verify(world, 'b')).rejects.toMatchObject({
      code: 'CE_NOT_SUPPORTED',
      message: expect.stringContaining('digests of checkpoint "b" are not known'),
    });
  });
});
