// Bytes of a server's checkpoints that change after registration without a change of time stamps. The update fails and
// names the bytes, the instances become unknown, and the next update succeeds. docs/digests.md has the table.
import { mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeSafetensorsHeader } from '@checkpoint-engine/meta';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import {
  findInSharedMemory,
  flipInFile,
  noMapping,
  olderMapping,
  WRITTEN_AT,
} from '../../ps/test/support/changed-bytes.ts';
import { temporaryFolder, tensorDigests } from './checkpoints.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';
import { rankProcesses } from './processes.ts';
import { startServer, type TestServer } from './serve-process.ts';

const MIB = 2 ** 20;
const bytes = Uint8Array.from({ length: 3 * MIB }, (_, i) => (i * 31) >>> 3);
const tensors = [
  { name: 'small', dtype: 'U8', shape: [1000], bytes: new Uint8Array(1000).fill(7) },
  { name: 'large', dtype: 'U8', shape: [3 * MIB], bytes },
] as const;
const header = encodeSafetensorsHeader(tensors);
/** In the last of three blocks of the tensor. */
const CHANGED_AT = 2.5 * MIB;
const AT = header.length + 1000 + CHANGED_AT;

const { folder, remove } = await temporaryFolder();
const cleanup: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});
afterAll(remove);

let made = 0;
const newPath = (): string => join(folder, `${made++}`);

async function written(parent: string): Promise<string> {
  const path = join(await mkdtemp(join(parent, 'checkpoint-engine-changed-')), 'model.safetensors');
  cleanup.push(() => rm(join(path, '..'), { recursive: true, force: true }));
  await writeFile(path, Buffer.concat([header, ...tensors.map((tensor) => tensor.bytes)]));
  await utimes(path, WRITTEN_AT, WRITTEN_AT);
  return path;
}

async function serve(...flags: string[]): Promise<{ server: TestServer; worker: TestWorker }> {
  const path = newPath();
  const worker = await startTestWorker(0, path);
  cleanup.push(() => worker.close());
  const server = await startServer(['--uds', newPath(), '--engine', 'worker', '--engine-uds', path, ...flags]);
  cleanup.push(async () => {
    server.running.child.kill('SIGKILL');
    await server.running.result;
  });
  return { server, worker };
}

async function register(server: TestServer, files: string, body: object): Promise<void> {
  expect((await server.call('POST', '/v1/checkpoints/a/files', { files: [files], ...body })).status).toBe(200);
  expect((await server.call('POST', '/v1/checkpoints/a/gather-metas')).status).toBe(200);
}

const update = (server: TestServer, verify: string) => server.call('POST', '/v1/checkpoints/a/update', { verify });

async function instance(server: TestServer, query = ''): Promise<string> {
  const answer = await server.call('GET', `/v1/instances${query}`);
  return answer.json<{ instances: { weight_version: string }[] }>().instances[0]!.weight_version;
}

/** What the server shows, the metric, and the last update. */
async function shown(server: TestServer): Promise<string[]> {
  const { text } = await server.call('GET', '/metrics');
  const metric = /^checkpoint_engine_instance_weights\{.*weight_version="([^"]*)"/m.exec(text)![1]!;
  type Listed = { updates: { engines: { weight_version: string }[] }[] };
  const { updates } = (await server.call('GET', '/v1/updates')).json<Listed>();
  return [await instance(server), metric, ...updates[0]!.engines.map((engine) => engine.weight_version)];
}

/** @param version That the worker holds. It still does if the change was found before it took any bytes. */
async function expectFound(server: TestServer, verify: string, version: string): Promise<void> {
  const failed = (await update(server, verify)).json<{ detail: string }>();
  expect(failed).toMatchObject({ code: 'CE_DIGEST_MISMATCH', status: 502, rank: 0, tensor: 'large' });
  expect(failed.detail).toMatch(
    /bytes 2097152 to 3145728, differs in .*expected digest [0-9a-f]{16}, but rank 0 has [0-9a-f]{16}/,
  );
  expect(await shown(server)).toEqual(['unknown', 'unknown', 'unknown']);
  expect(['unknown', version]).toContain(await instance(server, '?ask=true'));
}

interface Changeable {
  readonly files: string;
  readonly body: object;
  readonly flags: readonly string[];
  /** Called after the registration. */
  find?(server: TestServer): Promise<void>;
  flip(server: TestServer): Promise<void>;
}

const pinned = async (): Promise<Changeable> => {
  let place: { path: string; at: number } | undefined;
  return {
    files: await written(folder),
    body: {},
    flags: ['--p2p', 'shm'],
    // After an update, other memory has the same bytes.
    find: async (server) => {
      const rank = rankProcesses(server.running.child.pid!).get(0)!;
      place = await findInSharedMemory(rank, bytes.subarray(0, 4096));
    },
    flip: () => flipInFile(place!.path, place!.at + CHANGED_AT),
  };
};

const inPlace = async (): Promise<Changeable> => {
  const files = await written('/dev/shm');
  const mapping = await olderMapping(files, AT);
  cleanup.push(() => mapping.close());
  return { files, body: { keep_files: true }, flags: [], flip: () => mapping.flip() };
};

const streamed = async (): Promise<Changeable> => {
  const files = await written(folder);
  return {
    files,
    body: { stream: true },
    flags: [],
    flip: async (server) => {
      await flipInFile(files, AT);
      // Once an update has not found the file, later updates accept another ctime.
      await rename(files, `${files}.away`);
      expect((await update(server, 'full')).json()).toMatchObject({ code: 'CE_FILE_NOT_FOUND' });
      await rename(`${files}.away`, files);
    },
  };
};

const isMapped = noMapping === undefined;
if (!isMapped) console.warn(`Files that change in place through an older mapping are not tested: ${noMapping}`);

const SOURCES: readonly [name: string, make: () => Promise<Changeable>, isTested: boolean][] = [
  ['pinned', pinned, true],
  ['used in place', inPlace, isMapped],
  ['streamed', streamed, true],
];

describe('a server whose bytes change', () => {
  it.each(
    SOURCES.filter(([, , isTested]) => isTested).flatMap(([name, make]) =>
      ['sample', 'full'].map((verify) => [name, verify, make] as const),
    ),
  )('finds and names them while they are %s (%s)', async (_, verify, make) => {
    const checkpoint = await make();
    const { server, worker } = await serve(...checkpoint.flags);
    await register(server, checkpoint.files, checkpoint.body);
    await checkpoint.find?.(server);
    expect((await update(server, verify)).status).toBe(200);
    const [version] = await shown(server);
    expect(version).toMatch(/^digest:/);
    await checkpoint.flip(server);
    await expectFound(server, verify, version!);
    await checkpoint.flip(server);
    expect((await update(server, verify)).status).toBe(200);
    expect(await shown(server)).toEqual([version, version, version]);
    expect(await worker.digests()).toEqual(await tensorDigests(join(checkpoint.files, '..')));
  });

  it('finds and names bytes that change in the pool of the server that it joins', async () => {
    const checkpoint = await pinned();
    const owner = await serve('--p2p', 'shm');
    await register(owner.server, checkpoint.files, checkpoint.body);
    await checkpoint.find!(owner.server);
    expect((await update(owner.server, 'full')).status).toBe(200);
    const [version] = await shown(owner.server);
    const metas = (await owner.server.call('GET', '/v1/checkpoints/a/metas')).bytes;
    const { server, worker } = await serve('--p2p', 'shm');
    expect((await server.call('POST', '/v1/checkpoints/a/metas', metas)).status).toBe(200);
    expect((await server.call('GET', '/v1/checkpoints/a')).json()).toMatchObject({ weight_version: version });
    await checkpoint.flip(owner.server);
    await expectFound(server, 'full', 'unknown');
    await checkpoint.flip(owner.server);
    expect((await update(server, 'full')).status).toBe(200);
    expect(await shown(server)).toEqual([version, version, version]);
    expect(await worker.digests()).toEqual(await tensorDigests(join(checkpoint.files, '..')));
  });
});
