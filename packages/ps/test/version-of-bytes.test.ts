// The version of weights without an explicit version: equal bytes have equal versions, however ranks hold them.
import { mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { HostDevice } from '@checkpoint-engine/device';
import type { DigestRequest, FileMemory } from '@checkpoint-engine/interface';
import { checkpointDigest, encodeSafetensorsHeader } from '@checkpoint-engine/meta';
import type { CheckpointSource, EngineRequest, NamedTensor, ProgressEvent } from '@checkpoint-engine/ps';
import { wholeOf } from '@checkpoint-engine/worker';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeTensors } from './support/checkpoint.ts';
import { modelTensors, PullWorld, type PullWorldOptions, tensorParallel } from './support/pull-world.ts';

const worlds: PullWorld[] = [];
let onDisk: string;
let inMemory: string;
beforeEach(async () => {
  onDisk = await mkdtemp(join(tmpdir(), 'checkpoint-engine-version-'));
  inMemory = await mkdtemp('/dev/shm/checkpoint-engine-version-');
});
afterEach(async () => {
  await Promise.all(worlds.splice(0).map((world) => world.close()));
  for (const folder of [onDisk, inMemory]) await rm(folder, { recursive: true, force: true });
});

async function start(size: number, options: Partial<PullWorldOptions> = {}): Promise<PullWorld> {
  const keepOf = (rank: number) => ({ keep: tensorParallel(rank, size) });
  const world = await PullWorld.start(size, { keepOf, ...options });
  worlds.push(world);
  return world;
}

/** How ranks hold the same bytes. */
const SOURCES: readonly [name: string, source: (tensors: readonly NamedTensor[]) => Promise<CheckpointSource>][] = [
  ['pinned', async (tensors) => ({ files: await written(onDisk, tensors) })],
  ['filled in the background', async (tensors) => ({ files: await written(onDisk, tensors), load: 'background' })],
  ['in place', async (tensors) => ({ files: await written(inMemory, tensors), keepFiles: true })],
  ['streamed', async (tensors) => ({ files: await written(onDisk, tensors), stream: true })],
  [
    'streamed from /dev/shm and a disk',
    async (tensors) => {
      const [some, others] = [tensors.slice(0, 7), tensors.slice(7)];
      const files = [await written(inMemory, some), await written(onDisk, others)];
      return { files, stream: true, keepFiles: true };
    },
  ],
];

async function written(folder: string, tensors: readonly NamedTensor[]): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, 'model.safetensors');
  await writeTensors(path, tensors);
  return path;
}

async function versionFrom(
  source: CheckpointSource,
  size: number,
  options: Parameters<PullWorld['update']>[1] = {},
  worldOptions: Partial<PullWorldOptions> = {},
): Promise<string> {
  const world = await start(size, worldOptions);
  await world.register('a', () => source);
  const results = await world.update('a', options);
  const versions = new Set(results.map(({ weightVersion }) => weightVersion));
  expect(versions.size).toBe(1);
  const [version] = versions;
  for (const { version: change } of results) expect(change).toMatchObject({ after: version });
  const again = await world.update('a', options);
  for (const { weightVersion, version: change } of again) {
    expect(weightVersion).toBe(version);
    expect(change).toMatchObject({ after: version });
  }
  for (const { weightVersion } of world.servers[0]!.getMetas('a')) expect(weightVersion).toBe(version);
  return version!;
}

/** The version that documentation promises, from the digests of a world that holds the tensors in memory. */
async function expectedVersion(tensors: readonly NamedTensor[]): Promise<string> {
  const world = await start(1);
  await world.registerTensors('a', tensors);
  return `digest:${checkpointDigest(world.servers[0]!.getMetas('a'))}`;
}

describe.each(SOURCES)('a checkpoint that is %s', (_, sourceOf) => {
  it.each(['buckets', 'auto'] as const)('has the version of its bytes (%s)', async (method) => {
    const tensors = modelTensors(1);
    const wanted = await expectedVersion(tensors);
    const source = await sourceOf(tensors);
    expect(await versionFrom(source, 1, { method })).toBe(wanted);
    expect(await versionFrom(source, 3, { method, verify: 'full' })).toBe(wanted);
    expect(await versionFrom(source, 2, { method, verify: 'off' })).toBe(wanted);
  });

  it('has another version if one bit differs', async () => {
    const [some, others] = [modelTensors(1), modelTensors(1)];
    const changed = others.find(({ bytes }) => bytes.byteLength > 5)!;
    changed.bytes[5]! ^= 1;
    const first = await versionFrom(await sourceOf(some), 1);
    expect(await versionFrom(await sourceOf(others), 1)).not.toBe(first);
  });

  it('has the version that it is given', async () => {
    const source = await sourceOf(modelTensors(2));
    expect(await versionFrom(source, 2, { weightVersion: 'step-7' })).toBe('step-7');
  });
});

describe('a checkpoint in place', () => {
  it.each([
    ['in place on both ranks', false, 'auto'],
    ['in place on both ranks', false, 'buckets'],
    ['in place on one rank and streamed on the other', true, 'auto'],
  ] as const)('is digested before an engine is asked: %s (streams: %s, %s)', async (_, streams, method) => {
    const digested = new Set<number>();
    const slowly = async (rank: number): Promise<void> => {
      await delay(1_000);
      digested.add(rank);
    };
    const world = await start(2, { around: { device: (device, rank) => digestsAfter(device, () => slowly(rank)) } });
    const tensors = modelTensors(8);
    const wanted = await expectedVersion(tensors);
    const [some, others] = [tensors.slice(0, 9), tensors.slice(9)];
    const files = [await written(inMemory, some), await written(streams ? onDisk : join(inMemory, 'other'), others)];
    await world.register('a', (rank) => {
      return { files: files[rank]!, share: 'all', keepFiles: true, stream: streams && rank === 1 };
    });
    const seen: number[] = [];
    const results = await world.onAll((server, rank) => {
      const options = world.optionsOf(rank, { method });
      return server.update('a', {
        ...options,
        requestEngine: async (request) => {
          seen.push(digested.size);
          await options.requestEngine(request);
        },
      });
    });
    const inPlace = streams ? 1 : 2;
    expect(seen).toEqual([inPlace, inPlace]);
    for (const { weightVersion } of results) expect(weightVersion).toBe(wanted);
  });

  it('is not waited for if the update has a version', async () => {
    let release!: () => void;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const world = await start(1, { around: { device: (device) => digestsAfter(device, () => released) } });
    const path = await written(inMemory, modelTensors(9));
    await world.register('a', () => ({ files: path, keepFiles: true }));
    await world.update('a', { weightVersion: 'step-1' });
    release();
  });
});

/** Calls `before` before it digests a file in place. */
function digestsAfter(device: HostDevice, before: () => Promise<void>): HostDevice {
  const map = device.mapFile.bind(device);
  const mapFile = async (path: string): Promise<FileMemory> => {
    const memory = await map(path);
    const digest = memory.digest!.bind(memory);
    return Object.assign(memory, {
      digest: async (request: DigestRequest) => {
        await before();
        return await digest(request);
      },
    });
  };
  return Object.assign(device, { mapFile });
}

describe('a checkpoint that streams', () => {
  const streamed = async (tensors: readonly NamedTensor[]): Promise<CheckpointSource> => {
    return { files: await written(onDisk, tensors), stream: true };
  };

  it.each([undefined, 'shared'] as const)(
    'has the version of its bytes if no worker needs some of them (%s pool)',
    async (pool) => {
      const tensors = modelTensors(3);
      const wanted = await expectedVersion(tensors);
      const keepOf = () => ({
        keep: (tensor: Parameters<typeof wholeOf>[0]) => (tensor.name.startsWith('row') ? wholeOf(tensor) : []),
      });
      const world = await start(2, { keepOf });
      const source = await streamed(tensors);
      await Promise.all(world.servers.map((server) => server.registerCheckpoint('a', source, { pool })));
      await Promise.all(world.servers.map((server) => server.gatherMetas('a')));
      for (let times = 0; times < 2; times++) {
        const results = await world.update('a');
        for (const { weightVersion } of results) expect(weightVersion).toBe(wanted);
      }
      // The second update reads no more than what workers need.
      expect(world.events.filter(isRegistration)).toHaveLength(2);
    },
  );

  it('has a number if its bytes are not digested', async () => {
    const world = await start(2);
    const source = await streamed(modelTensors(4));
    await Promise.all(
      world.servers.map((server, rank) => server.registerCheckpoint('a', source, { digests: rank === 0 })),
    );
    await Promise.all(world.servers.map((server) => server.gatherMetas('a')));
    const results = await world.update('a');
    for (const { weightVersion, counter } of results) expect(weightVersion).toBe(`update-${counter}`);
  });

  it('sends an engine its version when all workers hold the weights, and not before', async () => {
    const world = await start(2);
    const source = await streamed(modelTensors(5));
    await world.register('a', () => source);
    const requests: EngineRequest[] = [];
    const settled: string[] = [];
    const results = await Promise.all(
      world.servers.map((server, rank) => {
        const options = world.optionsOf(rank, {});
        return server.update('a', {
          ...options,
          requestEngine: async (request) => {
            requests.push(request);
            void request.settledVersion!.then((version) => settled.push(version));
            if (rank === 1) await new Promise((resolve) => setTimeout(resolve, 300));
            expect(settled).toEqual([]);
            await options.requestEngine(request);
          },
        });
      }),
    );
    expect(requests.map(({ weightVersion }) => weightVersion)).toEqual([undefined, undefined]);
    expect(settled).toEqual(results.map(({ weightVersion }) => weightVersion));
  });

  it('keeps workers at an unknown version if its last bytes have changed', async () => {
    const world = await start(1, { keepOf: () => ({ keep: () => [] }) });
    const tensors = modelTensors(6);
    const path = await written(onDisk, tensors);
    await world.register('a', () => ({ files: path, stream: true }));
    const header = encodeSafetensorsHeader(tensors).length;
    const file = await open(path, 'r+');
    const [byte] = (await readFile(path)).subarray(header);
    await file.write(Uint8Array.of(byte! ^ 1), 0, 1, header);
    await file.close();
    await expect(world.update('a')).rejects.toMatchObject({ code: 'CE_FILE_CHANGED' });
  });
});

function isRegistration({ type }: ProgressEvent): boolean {
  return type === 'register';
}
