// What engines hold, compared with files, metas and checkpoints of a server: the command, real ranks and real workers.

import { createHash } from 'node:crypto';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHostDevice } from '@checkpoint-engine/device';
import { readCheckpoint } from '@checkpoint-engine/meta';
import { type CopyingWorker, copyingWorker, type KeptSlice, serveWorker, wholeOf } from '@checkpoint-engine/worker';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { smallCheckpoint, temporaryFolder } from './checkpoints.ts';
import { startTestWorker } from './demo-worker.ts';
import { parseJson, runCli } from './run-cli.ts';
import { startServer } from './serve-process.ts';

const { folder, remove } = await temporaryFolder();
const [one, two] = await Promise.all(['one', 'two'].map((seed) => smallCheckpoint(join(folder, seed), seed, 2 ** 21)));
const { tensors } = await readCheckpoint(one!);
const names = tensors.map(({ name }) => name).sort();
const cleanup: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});
afterAll(remove);

let sockets = 0;
const socketPath = (): string => join(folder, `${sockets++}.sock`);

/** An engine of some devices, each of which keeps its share of the tensors. */
async function engine(path: string, size = 1): Promise<CopyingWorker[]> {
  const devices = await Promise.all(
    Array.from({ length: size }, (_, index) => createHostDevice({ index, threads: 2 })),
  );
  const keep = (tensor: Parameters<typeof wholeOf>[0], index: number): readonly KeptSlice[] | undefined =>
    names.indexOf(tensor.name) % size === index ? wholeOf(tensor) : undefined;
  const workers = devices.map((device, index) =>
    copyingWorker({ device, prove: true, keep: (tensor) => keep(tensor, index) }),
  );
  const workerOf = (uuid: string): CopyingWorker => workers[devices.findIndex((device) => device.uuid === uuid)]!;
  const server = await serveWorker({
    ...{ devices, listen: { path } },
    onUpdate: (update, device) => workerOf(device.uuid).receive(update),
    pullerOf: (device) => workerOf(device.uuid).puller,
  });
  cleanup.push(async () => {
    await server.close();
    for (const worker of workers) await worker.close();
    for (const device of devices) await device.close();
  });
  return workers;
}

const update = async (path: string, ranks = 1, ...more: string[]): Promise<void> => {
  const flags = ['--checkpoint-path', one!, '--engine', 'worker', '--device', 'host', '--log-level', 'warn'];
  expect(await runCli(['update', ...flags, '--uds', path, '--nproc-per-node', `${ranks}`, ...more])).toMatchObject({
    code: 0,
  });
};
const verify = (path: string, ...more: string[]) =>
  runCli(['verify', '--engine', 'worker', '--device', 'host', '--log-level', 'warn', '--uds', path, ...more]);
const verifyFiles = (path: string, files: string, ...more: string[]) =>
  verify(path, '--checkpoint-path', files, ...more);

interface Printed {
  readonly equal: boolean;
  readonly digest: string;
  readonly derivedVersion: string;
  readonly files: { readonly path: string; readonly sha256?: string }[];
  readonly instances: { readonly endpoint: string; readonly weightVersion: string }[];
  readonly differing: { readonly tensor: string; readonly rank: number; readonly offsetBytes: number }[];
  readonly differingCount: number;
}

describe('verify', () => {
  it('connects the SHA-256 of files, the digest of the checkpoint, and what the engine holds', async () => {
    const path = socketPath();
    await engine(path);
    // A checkpoint in host memory has a digest, and its version comes from it.
    await update(path, 1, '--no-stream');
    const verified = await verifyFiles(path, one!, '--sha256', '--json');
    expect(verified).toMatchObject({ code: 0, stderr: '' });
    const printed = parseJson(verified) as Printed & { checkedTensors: number; tensorCount: number };
    expect(printed).toMatchObject({ ok: true, equal: true, differing: [], differingCount: 0, unverifiedTensors: 0 });
    expect(printed.tensorCount).toBe(tensors.filter(({ sizeBytes }) => sizeBytes > 0).length);
    expect(printed.checkedTensors).toBe(printed.tensorCount);
    expect(printed.derivedVersion).toBe(`digest:${printed.digest}`);
    expect(printed.instances).toEqual([{ endpoint: path, weightVersion: printed.derivedVersion, checkpoint: 'one' }]);
    const files = (await readdir(one!)).filter((name) => name.endsWith('.safetensors')).sort();
    expect(printed.files.map((file) => file.path)).toEqual(files.map((name) => join(one!, name)));
    for (const file of printed.files) {
      expect(file.sha256).toBe(
        createHash('sha256')
          .update(await readFile(file.path))
          .digest('hex'),
      );
    }
  });

  it('names flipped bytes of a parameter by rank, tensor and range, and leaves them', async () => {
    const path = socketPath();
    const workers = await engine(path, 2);
    await update(path, 2);
    const [name, held] = [...workers[1]!.tensors].find(([, { sizeBytes }]) => sizeBytes > 0)!;
    held.bytes()[0]! ^= 1;
    const flipped = held.bytes()[0]!;
    const verified = await verifyFiles(path, one!, '--nproc-per-node', '2', '--json');
    expect(verified).toMatchObject({ code: 1, stderr: '' });
    expect(parseJson(verified)).toMatchObject({
      ...{ ok: false, equal: false, differingCount: 1 },
      differing: [{ rank: 1, otherRanks: [], tensor: name, offsetBytes: 0 }],
    });
    expect(held.bytes()[0]).toBe(flipped);
  });

  it('prints the result as text, with the SHA-256 of each file', async () => {
    const path = socketPath();
    const [worker] = await engine(path);
    await update(path);
    const text = await verifyFiles(path, one!, '--sha256');
    expect(text).toMatchObject({ code: 0, stderr: '' });
    expect(text.stdout).toMatch(/✓ The engine holds one[\s\S]*compared +\d+ of \d+ tensors, .* on 1 rank/);
    expect(text.stdout.match(/^ +[0-9a-f]{64} {2}model-/gm)).toHaveLength(4);
    const [name, held] = [...worker!.tensors].find(([, { sizeBytes }]) => sizeBytes > 0)!;
    held.bytes()[0]! ^= 1;
    const differs = await verifyFiles(path, one!);
    expect(differs.code).toBe(1);
    expect(differs.stdout).toMatch(/✗ The engine differs from one in 1 tensor\n/);
    expect(differs.stdout).toContain(name);
  });

  it('finds that an engine holds another checkpoint, and lists at most 100 differences', async () => {
    const path = socketPath();
    await engine(path);
    await update(path);
    const printed = parseJson(await verifyFiles(path, two!, '--json')) as Printed;
    const sized = tensors.filter(({ sizeBytes }) => sizeBytes > 0).length;
    expect(printed.differingCount).toBe(sized);
    expect(printed.differing).toHaveLength(Math.min(100, sized));
  });

  it('reports that an engine has received no update yet', async () => {
    const path = socketPath();
    await engine(path);
    const early = await verifyFiles(path, one!, '--json');
    expect(early.code).toBe(1);
    expect(parseJson(early)).toMatchObject({
      error: {
        code: 'CE_NOT_SUPPORTED',
        message: expect.stringContaining('received no update'),
        hint: expect.stringContaining('Update the engine once'),
      },
    });
  });

  it('reports that an engine holds another model, or has another number of workers', async () => {
    const path = socketPath();
    await engine(path);
    await update(path);
    const other = await smallCheckpoint(join(folder, 'other'), 'other', 2 ** 20);
    const mismatch = parseJson(await verifyFiles(path, other, '--json')) as {
      error: { code: string; message: string };
    };
    expect(mismatch.error.code).toBe('CE_ENGINE_MISMATCH');
    expect(mismatch.error.message).toMatch(/The tensors of the engine differ from those of the checkpoint: /);
    const sizes = await verifyFiles(path, one!, '--nproc-per-node', '2', '--json');
    expect(sizes.code).toBe(1);
    expect(parseJson(sizes)).toMatchObject({ error: { code: expect.stringMatching(/^CE_ENGINE/) } });
  });

  it('reports an engine that only takes buckets, an engine that does not answer, and missing files', async () => {
    const plain = socketPath();
    const worker = await startTestWorker(0, plain);
    cleanup.push(() => worker.close());
    expect(parseJson(await verifyFiles(plain, one!, '--json'))).toMatchObject({
      error: {
        code: 'CE_NOT_SUPPORTED',
        message: expect.stringContaining('in buckets'),
        hint: expect.stringContaining('pullerOf'),
      },
    });
    const gone = parseJson(await verifyFiles(socketPath(), one!, '--timeout', '2', '--json'));
    expect(gone).toMatchObject({ error: { code: expect.stringMatching(/^CE_(ENGINE_UNREACHABLE|TIMEOUT)$/) } });
    const missing = parseJson(await verifyFiles(plain, join(folder, 'missing'), '--json'));
    expect(missing).toMatchObject({ error: { code: 'CE_FILE_NOT_FOUND' } });
  });

  it.each([
    [[], /none of --checkpoint-path/],
    [['--checkpoint-path', '/a', '--load-metas-file', '/b', '--endpoint', 'http://a'], /More than one/],
    [['--checkpoint-path', '/a'], /address of the engine is missing/],
    [['--load-metas-file', '/a', '--endpoint', 'http://a', '--sha256'], /--sha256/],
    [['--server', 'nowhere', '--checkpoint-name', 'a'], /not a URL/],
    [['--server', 'http://127.0.0.1:1'], /--checkpoint-name/],
    [
      ['--server', 'http://127.0.0.1:1', '--checkpoint-name', 'a', '--endpoint', 'http://a'],
      /--endpoint does not work with --server/,
    ],
    [['--checkpoint-path', '/a', '--endpoint', 'http://a', '--ranks', '3'], /--ranks has rank 3/],
  ])('refuses %j', async (flags, message) => {
    const refused = await runCli(['verify', ...flags, '--json']);
    expect(refused.code).toBe(2);
    expect(parseJson(refused)).toMatchObject({
      ok: false,
      error: { code: 'CE_CONFIG_INVALID', message: expect.stringMatching(message) },
    });
  });

  it('reads no weights where a metas file has the digests', async () => {
    const path = socketPath();
    await engine(path);
    const metas = join(folder, 'one.metas');
    await update(path, 1, '--no-stream', '--save-metas-file', metas);
    const verified = await verify(path, '--load-metas-file', metas, '--json');
    expect(verified).toMatchObject({ code: 0, stderr: '' });
    expect(parseJson(verified)).toMatchObject({ equal: true, checkpoint: 'one' });
  });

  it('reports that a metas file has no digests, or is not a metas file', async () => {
    const path = socketPath();
    await engine(path);
    const bare = join(folder, 'bare.metas');
    await update(path, 1, '--no-stream', '--verify', 'off', '--save-metas-file', bare);
    const without = await verify(path, '--load-metas-file', bare, '--json');
    expect(parseJson(without)).toMatchObject({
      error: { code: 'CE_NOT_SUPPORTED', message: expect.stringContaining('digests') },
    });
    await writeFile(bare, 'no metas');
    const broken = await verify(path, '--load-metas-file', bare, '--json');
    expect(parseJson(broken)).toMatchObject({ error: { code: 'CE_METAS_INVALID' } });
  });
});

describe('verify of a server', () => {
  async function serve(path: string) {
    const socket = socketPath();
    const args = ['--engine', 'worker', '--engine-uds', path, '--uds', socket];
    const server = await startServer(args);
    cleanup.push(async () => {
      server.running.child.kill('SIGKILL');
      await server.running.result;
    });
    const call = async (way: string, body?: object) => {
      const answer = await server.call('POST', `/v1/checkpoints/${way}`, body);
      expect([answer.status, answer.text]).toEqual([200, '']);
    };
    return { server, socket, call };
  }

  it.each([{ stream: false }, { stream: true }])(
    'compares a checkpoint that it has registered (%o)',
    async (source) => {
      const path = socketPath();
      await engine(path);
      const { server, call } = await serve(path);
      await call('a/files', { files: [one!], ...source });
      await call('a/gather-metas');
      const early = await server.call('POST', '/v1/checkpoints/a/verify');
      expect(early.status).toBe(422);
      expect(early.json()).toMatchObject({ code: 'CE_NOT_SUPPORTED' });
      await call('a/update', { weight_version: 'v1' });
      await call('b/files', { files: [two!], ...source });
      await call('b/gather-metas');
      // The files of a streamed checkpoint are not read before its first update.
      const other = await server.call('POST', '/v1/checkpoints/b/verify', {});
      expect(other.status).toBe(200);
      expect(other.json()).toMatchObject({ checkpoint: 'b', equal: false });
      const asked = await server.call('POST', '/v1/checkpoints/a/verify', { timeout: 60 });
      expect(asked.json()).toMatchObject({
        ...{ checkpoint: 'a', equal: true, differing: [], differing_count: 0, unverified_tensors: 0 },
        digest: expect.stringMatching(/^[0-9a-f]{32}$/),
      });
      const instances = (await server.call('GET', '/v1/instances')).json<{ instances: object[] }>();
      expect(instances).toMatchObject({ instances: [{ state: 'current', weight_version: 'v1' }] });

      expect((await server.call('POST', '/v1/checkpoints/a/verify', { ranks: [9] })).status).toBe(422);
      expect((await server.call('POST', '/v1/checkpoints/a/verify', { verify: 'full' })).status).toBe(422);
    },
  );

  it('compares with the registered bytes if a streamed file has changed since then', async () => {
    const path = socketPath();
    await engine(path);
    const { server, call } = await serve(path);
    const files = await smallCheckpoint(join(folder, 'changing'), 'changing', 2 ** 20);
    await call('a/files', { files: [files], stream: true });
    await call('a/gather-metas');
    await call('a/update');
    const [first] = (await readdir(files)).filter((name) => name.endsWith('.safetensors'));
    const file = await open(join(files, first!), 'r+');
    await file.write('changed', -1);
    await file.close();
    // The digests of the first update count: the engine is compared with what was registered.
    expect((await server.call('POST', '/v1/checkpoints/a/verify')).json()).toMatchObject({ equal: true });
    expect((await server.call('POST', '/v1/checkpoints/a/update')).json()).toMatchObject({ code: 'CE_FILE_CHANGED' });
  });

  it('is available through the command', async () => {
    const path = socketPath();
    const workers = await engine(path);
    const { socket, call } = await serve(path);
    await call('a/files', { files: [one!] });
    await call('a/gather-metas');
    await call('a/update', { weight_version: 'v1' });
    const flags = ['verify', '--server-uds', socket, '--checkpoint-name'];
    const verified = await runCli([...flags, 'a', '--json']);
    expect(verified).toMatchObject({ code: 0, stderr: '' });
    expect(parseJson(verified)).toMatchObject({ equal: true, instances: [{ endpoint: path, weightVersion: 'v1' }] });
    const [, held] = [...workers[0]!.tensors].find(([, { sizeBytes }]) => sizeBytes > 0)!;
    held.bytes()[0]! ^= 8;
    expect(await runCli([...flags, 'a'])).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/✗ The engine differs from a in 1 tensor/),
    });
    expect(parseJson(await runCli([...flags, 'none', '--json']))).toMatchObject({
      error: { code: 'CE_CHECKPOINT_UNKNOWN' },
    });
  });

  it('reports that no server listens', async () => {
    const refused = await runCli(['verify', '--server', 'http://127.0.0.1:9', '--checkpoint-name', 'a', '--json']);
    expect(refused.code).toBe(1);
    expect(parseJson(refused)).toMatchObject({ error: { code: 'CE_PEER_UNREACHABLE' } });
  });
});
