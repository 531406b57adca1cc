// Versions of weights from the command line and the HTTP API down to instances, with real ranks and workers.
import { link, mkdtemp, open, readdir, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { smallCheckpoint, temporaryFolder, tensorDigests } from './checkpoints.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';
import { rankProcesses } from './processes.ts';
import { parseJson, runCli } from './run-cli.ts';
import { startServer, type TestServer } from './serve-process.ts';
import { startSilentEngine } from './silent-engine.ts';

const { folder, remove } = await temporaryFolder();
const [one, two] = await Promise.all(['one', 'two'].map((seed) => smallCheckpoint(join(folder, seed), seed, 2 ** 20)));
const cleanup: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});
afterAll(remove);

let sockets = 0;
const socketPath = (): string => join(folder, `${sockets++}.sock`);
const startWorker = async (index: number, path: string): Promise<TestWorker> => {
  const worker = await startTestWorker(index, path);
  cleanup.push(() => worker.close());
  return worker;
};
/** Two ranks with an instance each. */
const serve = async (paths: readonly string[]): Promise<TestServer> => {
  const engines = paths.flatMap((path) => ['--engine-uds', path]);
  const ranks = ['--nproc-per-node', `${paths.length}`, '--inference-parallel-size', '1'];
  const server = await startServer(['--uds', socketPath(), '--engine', 'worker', ...ranks, ...engines]);
  cleanup.push(async () => {
    server.running.child.kill('SIGKILL');
    await server.running.result;
  });
  return server;
};
const register = async (server: TestServer, name: string, files: string, body = {}): Promise<void> => {
  expect((await server.call('POST', `/v1/checkpoints/${name}/files`, { files: [files], ...body })).status).toBe(200);
  expect((await server.call('POST', `/v1/checkpoints/${name}/gather-metas`)).status).toBe(200);
};
const update = (server: TestServer, name: string, body?: object, query = '') =>
  server.call('POST', `/v1/checkpoints/${name}/update${query}`, body);
const versions = async (server: TestServer): Promise<string[]> => {
  const { instances } = (await server.call('GET', '/v1/instances')).json<{
    instances: { endpoint: string; weight_version: string }[];
  }>();
  return instances.toSorted((a, b) => (a.endpoint < b.endpoint ? -1 : 1)).map((instance) => instance.weight_version);
};
const series = async (server: TestServer): Promise<string[]> =>
  (await server.call('GET', '/metrics')).text
    .split('\n')
    .filter((line) => /^checkpoint_engine_instance_weights\{/.test(line));
const lastUpdate = async (server: TestServer) => {
  const { updates } = (await server.call('GET', '/v1/updates')).json<{ updates: Record<string, unknown>[] }>();
  return updates[0] as { id: string; weight_version?: string; engines: { weight_version: string }[] };
};

describe('instances of a server', () => {
  it('have the version that all ranks have confirmed, and none before', async () => {
    const paths = [socketPath(), socketPath()];
    await Promise.all(paths.map((path, index) => startWorker(index, path)));
    const server = await serve(paths);
    expect(await versions(server)).toEqual(['unknown', 'unknown']);
    await register(server, 'a', one!, { weight_version: 'step-1' });
    await register(server, 'b', two!);
    expect((await server.call('GET', '/v1/checkpoints/a')).json()).toMatchObject({ weight_version: 'step-1' });

    expect((await update(server, 'a')).status).toBe(200);
    expect(await versions(server)).toEqual(['step-1', 'step-1']);
    expect(await lastUpdate(server)).toMatchObject({
      weight_version: 'step-1',
      engines: [{ weight_version: 'step-1' }, { weight_version: 'step-1' }],
    });
    expect((await update(server, 'b', { weight_version: 'step-2' })).status).toBe(200);
    expect(await versions(server)).toEqual(['step-2', 'step-2']);
    const held = await series(server);
    expect(held).toHaveLength(2);
    for (const line of held) expect(line).toMatch(/checkpoint="b",weight_version="step-2"\} 1$/);
    // Without a version it comes from the bytes.
    expect((await update(server, 'b')).status).toBe(200);
    const [made, other] = await versions(server);
    expect(made).toMatch(/^digest:[0-9a-f]{32}$/);
    expect(other).toBe(made);
    expect(await series(server)).toHaveLength(2);
  });

  it('have the version of the bytes, in place, streamed and pinned, which its digest confirms', async () => {
    const shared = await mkdtemp('/dev/shm/checkpoint-engine-versions-');
    cleanup.push(() => rm(shared, { recursive: true, force: true }));
    const files = await smallCheckpoint(shared, 'one', 2 ** 20);
    const paths = [socketPath(), socketPath()];
    await Promise.all(paths.map((path, index) => startWorker(index, path)));
    const server = await serve(paths);
    const inspected = parseJson(await runCli(['inspect', one!, '--digests', '--json'])) as { derivedVersion: string };
    await register(server, 'in-place', files, { keep_files: true });
    await register(server, 'streamed', one!, { stream: true });
    await register(server, 'pinned', one!);
    for (const name of ['in-place', 'pinned', 'streamed', 'streamed', 'in-place']) {
      expect((await update(server, name)).status).toBe(200);
      expect(await versions(server)).toEqual([inspected.derivedVersion, inspected.derivedVersion]);
      expect(await lastUpdate(server)).toMatchObject({ weight_version: inspected.derivedVersion });
      for (const line of await series(server))
        expect(line).toContain(`weight_version="${inspected.derivedVersion}"} 1`);
    }
    // Workers hold it, too.
    const asked = (await server.call('GET', '/v1/instances?ask=true')).json();
    expect(asked).toMatchObject({ instances: [1, 2].map(() => ({ weight_version: inspected.derivedVersion })) });
  });

  it('are all unknown after an update was cancelled, until the next one', async () => {
    const paths = [socketPath(), socketPath()];
    const worker = await startWorker(0, paths[0]!);
    const silent = await startSilentEngine(paths[1]!);
    cleanup.push(() => silent.close());
    const server = await serve(paths);
    await register(server, 'a', one!);
    const { id } = (await update(server, 'a', { weight_version: 'v1' }, '?wait=false')).json<{ id: string }>();
    await expect.poll(async () => (await lastUpdate(server)).engines.length).toBe(2);
    expect(await versions(server)).toEqual(['unknown', 'unknown']);
    expect((await server.call('DELETE', `/v1/updates/${id}`)).status).toBe(200);
    expect(await versions(server)).toEqual(['unknown', 'unknown']);
    for (const line of await series(server)) expect(line).toMatch(/checkpoint="",weight_version="unknown"\} 0$/);

    silent.close();
    const second = await startWorker(1, paths[1]!);
    expect((await update(server, 'a', { weight_version: 'v2' })).status).toBe(200);
    expect(await versions(server)).toEqual(['v2', 'v2']);
    const wanted = await tensorDigests(one!);
    for (const each of [worker, second]) expect(await each.digests()).toEqual(wanted);
  });

  it('are unknown after a rank was lost in an update', async () => {
    const paths = [socketPath(), socketPath()];
    await startWorker(0, paths[0]!);
    const silent = await startSilentEngine(paths[1]!);
    cleanup.push(() => silent.close());
    const server = await serve(paths);
    await register(server, 'a', one!);
    const failing = update(server, 'a', { weight_version: 'v1' });
    await silent.asked;
    process.kill(rankProcesses(server.running.child.pid!).get(1)!, 'SIGKILL');
    expect((await failing).json()).toMatchObject({ code: 'CE_RANK_LOST' });
    expect(await versions(server)).toEqual(['unknown', 'unknown']);
    expect((await lastUpdate(server)).engines).toMatchObject([
      { weight_version: 'unknown' },
      { weight_version: 'unknown' },
    ]);
  });

  it('are unknown after an update that found other bytes than those that were registered', async () => {
    const shared = await mkdtemp('/dev/shm/checkpoint-engine-versions-');
    cleanup.push(() => rm(shared, { recursive: true, force: true }));
    const path = socketPath();
    await startWorker(0, path);
    const server = await serve([path]);
    const files = await smallCheckpoint(shared, 'three', 2 ** 20);
    const [name] = (await readdir(files)).filter((entry) => entry.endsWith('.safetensors'));
    const file = join(files, name!);
    // Whole seconds, because a restored time stamp has no fraction.
    await utimes(file, 1_700_000_000, 1_700_000_000);
    await register(server, 'a', files, { weight_version: 'v1', keep_files: true });
    expect((await update(server, 'a', { verify: 'full' })).status).toBe(200);
    expect(await versions(server)).toEqual(['v1']);
    const handle = await open(file, 'r+');
    const at = (await handle.stat()).size - 9;
    const byte = new Uint8Array(1);
    await handle.read(byte, 0, 1, at);
    await handle.write(Uint8Array.of(byte[0]! ^ 16), 0, 1, at);
    await handle.close();
    await utimes(file, 1_700_000_000, 1_700_000_000);
    // A file with another number of names may have another ctime, so only its bytes show the change.
    await link(file, join(shared, 'other'));
    const failed = await update(server, 'a', { verify: 'full' });
    expect(failed.json()).toMatchObject({ code: 'CE_DIGEST_MISMATCH', status: 502, tensor: expect.any(String) });
    expect(await versions(server)).toEqual(['unknown']);
    for (const line of await series(server)) expect(line).toMatch(/checkpoint="",weight_version="unknown"\} 0$/);
  });

  it('keep their version if an update fails before it asks any of them', async () => {
    const paths = [socketPath(), socketPath()];
    await Promise.all(paths.map((path, index) => startWorker(index, path)));
    const server = await serve(paths);
    await register(server, 'a', one!);
    expect((await update(server, 'a', { weight_version: 'v1' })).status).toBe(200);
    expect((await update(server, 'none', { weight_version: 'v2' })).status).toBe(404);
    expect((await update(server, 'a', { weight_version: 'v 2' })).status).toBe(422);
    expect(await versions(server)).toEqual(['v1', 'v1']);
  });
});

describe('a server that was started again', () => {
  it('learns the version from workers, and that one of them was restarted', async () => {
    const paths = [socketPath(), socketPath()];
    const [, second] = await Promise.all(paths.map((path, index) => startWorker(index, path)));
    const before = await serve(paths);
    await register(before, 'a', one!);
    expect((await update(before, 'a', { weight_version: 'v1' })).status).toBe(200);
    before.running.child.kill('SIGKILL');
    await before.running.result;

    const after = await serve(paths);
    // It asks by itself once its ranks are ready.
    await expect.poll(() => versions(after), { timeout: 20_000 }).toEqual(['v1', 'v1']);
    await second!.close();
    await startWorker(1, paths[1]!);
    expect(await versions(after)).toEqual(['v1', 'v1']);
    await after.call('GET', '/v1/instances?ask=true');
    expect(await versions(after)).toEqual(['v1', 'unknown']);

    // The update reports the version that each of them held.
    await register(after, 'a', one!);
    expect((await update(after, 'a', { weight_version: 'v2' })).status).toBe(200);
    expect((await lastUpdate(after)).engines).toMatchObject([
      { weight_version_before: 'v1', weight_version: 'v2' },
      { weight_version_before: 'unknown', weight_version: 'v2' },
    ]);
  });
});

describe('the command update', () => {
  const flags = (path: string): string[] => [
    ...['update', '--checkpoint-path', one!, '--engine', 'worker', '--device', 'host', '--log-level', 'warn'],
    ...['--uds', path],
  ];

  it('prints the version, as text and as JSON', async () => {
    const path = socketPath();
    await startWorker(0, path);
    const text = await runCli([...flags(path), '--weight-version', 'step-7']);
    expect(text).toMatchObject({ code: 0, stderr: '' });
    expect(text.stdout).toMatch(/^ {2}version {2}step-7 \(before: unknown\)$/m);
    const json = await runCli([...flags(path), '--weight-version', 'step-8', '--json']);
    expect(parseJson(json)).toMatchObject({
      weightVersion: 'step-8',
      // The worker reports the version that it held.
      instances: [{ endpoint: path, weightVersionBefore: 'step-7', weightVersion: 'step-8' }],
    });
    const made = parseJson(await runCli([...flags(path), '--json'])) as { weightVersion: string };
    expect(made.weightVersion).toMatch(/^digest:[0-9a-f]{32}$/);
    const unread = parseJson(await runCli([...flags(path), '--json', '--verify', 'off'])) as { weightVersion: string };
    expect(unread.weightVersion).toMatch(/^update-\d+$/);
  });

  it.each(['', 'a b', 'unknown', `${'x'.repeat(129)}`])('refuses %j as a version', async (version) => {
    const refused = await runCli([...flags('/nowhere'), '--weight-version', version, '--json']);
    expect(refused.code).toBe(2);
    expect(parseJson(refused)).toMatchObject({ ok: false, error: { code: 'CE_CONFIG_INVALID' } });
    expect(refused.stderr).toContain('--weight-version');
  });

  it('names the instance with unknown weights after a failure, and none if the update failed before', async () => {
    const path = socketPath();
    const silent = await startSilentEngine(path);
    cleanup.push(() => silent.close());
    const failed = await runCli([...flags(path), '--timeout', '2', '--json']);
    expect(failed.code).toBe(1);
    expect(parseJson(failed)).toMatchObject({
      ok: false,
      instances: [{ endpoint: path, weightVersionBefore: 'unknown', weightVersion: 'unknown' }],
    });
    expect(failed.stderr).toContain(`unknown at ${path}, until an update succeeds`);
    const absent = flags(path).map((flag) => (flag === one ? join(folder, 'absent') : flag));
    const refused = parseJson(await runCli([...absent, '--json']));
    expect(refused).toMatchObject({ ok: false });
    expect(refused).not.toHaveProperty('instances');
  });
});
