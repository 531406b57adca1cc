// Failures that are known before an engine receives a request: an engine discards its weights if the update fails.
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHostDevice } from '@checkpoint-engine/device';
import {
  type CheckpointSource,
  localStore,
  type NamedTensor,
  ParameterServer,
  type UpdateOptions,
  v1Protocol,
} from '@checkpoint-engine/ps';
import { wholeOf } from '@checkpoint-engine/worker';
import { afterEach, describe, expect, it } from 'vitest';
import { writeTensors } from './support/checkpoint.ts';
import { PullWorld } from './support/pull-world.ts';

const tensors: readonly NamedTensor[] = [
  { name: 'a', dtype: 'U8', shape: [1000], bytes: new Uint8Array(1000).fill(1) },
  { name: 'b', dtype: 'U8', shape: [1000], bytes: new Uint8Array(1000).fill(2) },
];

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

async function written(root: string): Promise<string> {
  const folder = await mkdtemp(join(root, 'checkpoint-engine-checks-'));
  cleanup.push(() => rm(folder, { recursive: true, force: true }));
  await writeTensors(join(folder, 'model.safetensors'), tensors);
  return folder;
}

const rewritten = (path: string): Promise<void> => utimes(path, 1, 1);
const truncated = (path: string): Promise<void> => writeFile(path, '');
const removed = (path: string): Promise<void> => rm(path);

interface Case {
  readonly name: string;
  readonly root: string;
  readonly source: Omit<Extract<CheckpointSource, { files: unknown }>, 'files'>;
  readonly change: (path: string) => Promise<void>;
  readonly code: string;
}

const SHM = '/dev/shm';
const CASES: readonly Case[] = [
  { name: 'in place, rewritten', root: SHM, source: { keepFiles: true }, change: rewritten, code: 'CE_FILE_CHANGED' },
  { name: 'in place, truncated', root: SHM, source: { keepFiles: true }, change: truncated, code: 'CE_FILE_CHANGED' },
  { name: 'streamed, rewritten', root: tmpdir(), source: { stream: true }, change: rewritten, code: 'CE_FILE_CHANGED' },
  { name: 'streamed, removed', root: tmpdir(), source: { stream: true }, change: removed, code: 'CE_FILE_NOT_FOUND' },
];
const METHODS: readonly UpdateOptions['method'][] = ['pull', 'buckets'];

describe('an update of files that have changed', () => {
  const ways = CASES.flatMap((each) => METHODS.map((method) => ({ ...each, method })));
  it.each(ways)('calls no engine: $name, $method', async ({ root, source, change, code, method }) => {
    const folder = await written(root);
    const world = await PullWorld.start(2, { keepOf: () => ({ keep: wholeOf }) });
    cleanup.push(() => world.close());
    await world.register('x', () => ({ files: folder, ...source }));
    await change(join(folder, 'model.safetensors'));
    let calls = 0;
    const updating = world.servers.map((server) =>
      server.update('x', {
        method,
        requestEngine: async () => {
          calls++;
          throw new Error('called');
        },
      }),
    );
    for (const { reason } of (await Promise.allSettled(updating)) as PromiseRejectedResult[]) {
      expect(reason).toMatchObject({ code });
    }
    expect(calls).toBe(0);
  });
});

it('protocol v1 on the host device calls no engine', async () => {
  const device = await createHostDevice({ index: 0, threads: 1 });
  const server = await ParameterServer.create({ store: localStore(), device, protocol: v1Protocol() });
  cleanup.push(() => server.close());
  await server.registerCheckpoint('x', { tensors });
  await server.gatherMetas('x');
  let calls = 0;
  const requestEngine = async (): Promise<void> => {
    calls++;
  };
  await expect(server.update('x', { requestEngine })).rejects.toMatchObject({ code: 'CE_NOT_SUPPORTED' });
  expect(calls).toBe(0);
});
