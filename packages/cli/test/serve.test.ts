import { statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { tensorDigests } from './checkpoints.ts';
import { cliFixture } from './cli-fixture.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';
import { rankProcesses, runs, sharedMemoryOf } from './processes.ts';
import { runCli, startCli } from './run-cli.ts';
import { RUNTIMES } from './runtimes.ts';
import { startServer, type TestServer } from './serve-process.ts';
import { startSilentEngine } from './silent-engine.ts';

const { folder, checkpoint, cleanup, socketPath } = await cliFixture();
const wanted = await tensorDigests(checkpoint);

const startWorkers = async (
  count: number,
  deviceIndex = (index: number) => index,
): Promise<{ flags: string[]; all: TestWorker[] }> => {
  const paths = Array.from({ length: count }, socketPath);
  const all = await Promise.all(paths.map((path, index) => startTestWorker(deviceIndex(index), path)));
  cleanup.push(async () => {
    await Promise.all(all.map((worker) => worker.close()));
  });
  return { flags: ['--engine', 'worker', ...paths.flatMap((path) => ['--engine-uds', path])], all };
};
const serve = async (args: readonly string[], options?: Parameters<typeof startServer>[1]): Promise<TestServer> => {
  const server = await startServer(args, options);
  cleanup.push(async () => {
    server.running.child.kill('SIGKILL');
    await server.running.result;
  });
  return server;
};
const register = (server: TestServer, name: string, headers = {}) =>
  server.call('POST', `/v1/checkpoints/${name}/files`, { files: [checkpoint] }, headers);
const end = async ({ running }: TestServer): Promise<number | null> => {
  running.child.kill('SIGTERM');
  return (await running.result).code;
};

describe('paths of files', () => {
  it('must be absolute, because the server has another working folder than its clients', async () => {
    const server = await serve(['--uds', socketPath()]);
    const answer = await server.call('POST', '/v1/checkpoints/a/files', { files: ['step-1'] });
    expect(answer.status).toBe(422);
    expect(answer.json()).toMatchObject({ code: 'CE_REQUEST_INVALID', detail: expect.stringContaining('relative') });
    expect((await server.call('GET', '/v1/checkpoints')).json()).toEqual({ checkpoints: [] });
  });
});

describe.each(RUNTIMES)('serve under %s', (_, runtime) => {
  it('serves a client of the Python tool, and exits cleanly', async () => {
    const { flags, all } = await startWorkers(2);
    const socket = socketPath();
    const server = await serve(['--uds', socket, '--nproc-per-node', '2', ...flags], { runtime });
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    const ranks = rankProcesses(server.running.child.pid!);
    const steps = [
      await server.call('GET', '/v1/healthz'),
      await register(server, 'step-1'),
      await server.call('POST', '/v1/checkpoints/step-1/gather-metas'),
      await server.call('POST', '/v1/checkpoints/step-1/update', {
        ranks: [],
        inference_group_ranks: [],
        timeout: 300,
        weight_version: 'v7',
      }),
    ];
    expect(steps.map(({ status, text }) => [status, text])).toEqual(steps.map(() => [200, '']));
    for (const worker of all) expect(await worker.digests()).toEqual(wanted);
    expect((await server.call('GET', '/v1/instances')).json()).toMatchObject({
      instances: [
        { state: 'current', checkpoint: 'step-1', weight_version: 'v7' },
        { state: 'current', checkpoint: 'step-1', weight_version: 'v7' },
      ],
    });
    expect((await server.call('DELETE', '/v1/checkpoints/step-1')).status).toBe(200);
    expect(await end(server)).toBe(0);
    expect([...ranks.values()].filter(runs)).toEqual([]);
    expect(sharedMemoryOf(ranks.values())).toEqual([]);
    expect(() => statSync(socket)).toThrow(/ENOENT/);
  });
});

describe('serve with P2P', () => {
  it('sends its metas to another world, which then reads the weights from its pools', async () => {
    const { flags, all } = await startWorkers(2, () => 0);
    const [ours, theirs] = [flags.slice(0, 4), [...flags.slice(0, 2), ...flags.slice(4)]];
    const p2p = ['--p2p', 'shm'];
    const owner = await serve(['--uds', socketPath(), ...p2p, ...ours]);
    const joiner = await serve(['--uds', socketPath(), ...p2p, ...theirs]);
    await register(owner, 'step-1');
    await owner.call('POST', '/v1/checkpoints/step-1/gather-metas');
    const metas = await owner.call('GET', '/v1/checkpoints/step-1/metas');
    expect(metas.status).toBe(200);
    expect((await joiner.call('POST', '/v1/checkpoints/another/metas', metas.bytes)).status).toBe(422);
    expect((await joiner.call('POST', '/v1/checkpoints/step-1/metas', metas.bytes)).status).toBe(200);
    expect(await joiner.call('POST', '/v1/checkpoints/step-1/update')).toMatchObject({ status: 200, text: '' });
    expect(await all[1]!.digests()).toEqual(wanted);
    expect((await all[0]!.digests()).size).toBe(0);
    expect(await end(joiner)).toBe(0);
    expect(await end(owner)).toBe(0);
  });
});

describe('serve under attack', () => {
  it('reports a rank that was killed during an update, and restarts it with its checkpoint', async () => {
    const engine = socketPath();
    const silent = await startSilentEngine(engine);
    cleanup.push(() => silent.close());
    const { flags, all } = await startWorkers(2);
    const server = await serve(['--uds', socketPath(), '--nproc-per-node', '2', ...flags]);
    await register(server, 'step-1');
    await server.call('POST', '/v1/checkpoints/step-1/gather-metas');
    const hanging = server.call('POST', '/v1/checkpoints/step-1/update', { uds: engine });
    await silent.asked;
    const ranks = rankProcesses(server.running.child.pid!);
    process.kill(ranks.get(0)!, 'SIGKILL');
    const failed = await hanging;
    expect(failed.status).toBe(503);
    expect(failed.json()).toMatchObject({ code: 'CE_RANK_LOST', rank: 0, detail: 'Rank 0 was killed by SIGKILL' });
    await silent.givenUp;
    // It waits until the rank is back.
    const again = await server.call('POST', '/v1/checkpoints/step-1/update');
    expect(again).toMatchObject({ status: 200, text: '' });
    for (const worker of all) expect(await worker.digests()).toEqual(wanted);
    expect((await server.call('GET', '/v1/readyz')).json()).toMatchObject({
      ready: true,
      ranks: [{ restarts: 1 }, {}],
    });
    expect(await end(server)).toBe(0);
  });

  it('leaves no rank behind when it is killed itself, and starts again at the same socket', async () => {
    const socket = socketPath();
    const server = await serve(['--uds', socket, '--nproc-per-node', '2']);
    await register(server, 'step-1');
    const ranks = rankProcesses(server.running.child.pid!);
    server.running.child.kill('SIGKILL');
    await server.running.result;
    await expect.poll(() => [...ranks.values()].filter(runs)).toEqual([]);
    expect(sharedMemoryOf(ranks.values())).toEqual([]);
    const next = await serve(['--uds', socket]);
    expect((await register(next, 'step-1')).status).toBe(200);
    expect(await end(next)).toBe(0);
  });

  it('cancels the running update when its grace time ends, and notifies the engine', async () => {
    const engine = socketPath();
    const silent = await startSilentEngine(engine);
    cleanup.push(() => silent.close());
    const server = await serve(['--uds', socketPath(), '--engine', 'worker', '--grace-time', '0']);
    await register(server, 'step-1');
    await server.call('POST', '/v1/checkpoints/step-1/gather-metas');
    const hanging = server.call('POST', '/v1/checkpoints/step-1/update', { uds: engine });
    await silent.asked;
    expect(await end(server)).toBe(0);
    expect((await hanging).json()).toMatchObject({ status: 409, code: 'CE_ABORTED' });
    await silent.givenUp;
  });
});

describe('serve on several hosts', () => {
  it('serves the ranks of other hosts, and accepts a lost host again', async () => {
    // Each host counts its devices from 0.
    const { flags, all } = await startWorkers(2, () => 0);
    const port = await freePort();
    const env = { CHECKPOINT_ENGINE_TOKEN: 'a-long-secret' };
    const bearer = { authorization: 'Bearer a-long-secret' };
    const hosts = ['--nnodes', '2', '--master-addr', '127.0.0.1', '--master-port', `${port}`];
    const other = () => {
      const started = startCli(['serve', '--device', 'host', ...hosts, '--node-rank', '1'], { env });
      cleanup.push(() => void started.child.kill('SIGKILL'));
      return started;
    };
    const first = other();
    const server = await serve(['--uds', socketPath(), ...hosts, '--allow-path', checkpoint, ...flags], { env });
    expect((await server.call('GET', '/v1/readyz', undefined, bearer)).json()).toMatchObject({
      ranks: [{ node: 0 }, { node: 1 }],
    });
    expect((await register(server, 'step-1', bearer)).status).toBe(200);
    await server.call('POST', '/v1/checkpoints/step-1/gather-metas', undefined, bearer);
    const update = () => server.call('POST', '/v1/checkpoints/step-1/update', undefined, bearer);
    expect(await update()).toMatchObject({ status: 200, text: '' });
    for (const worker of all) expect(await worker.digests()).toEqual(wanted);

    const [orphan] = rankProcesses(first.child.pid!).values();
    first.child.kill('SIGKILL');
    await server.running.untilPrinted(/A host has left/);
    const second = other();
    expect(await update()).toMatchObject({ status: 200, text: '' });
    await expect.poll(() => runs(orphan!)).toBe(false);
    expect(await end(server)).toBe(0);
    expect((await second.result).code).toBe(0);
  });

  it('requires a token, and the same number of ranks on all hosts', async () => {
    const hosts = ['--device', 'host', '--nnodes', '2', '--master-addr', '127.0.0.1', '--master-port'];
    const without = await runCli(['serve', ...hosts, '29500']);
    expect(without).toMatchObject({ code: 2, stderr: expect.stringMatching(/needs CHECKPOINT_ENGINE_TOKEN/) });
    const port = `${await freePort()}`;
    const env = { CHECKPOINT_ENGINE_TOKEN: 'a-long-secret' };
    const server = startCli(['serve', '--uds', socketPath(), ...hosts, port], { env });
    cleanup.push(() => void server.child.kill('SIGKILL'));
    const refused = await runCli(['serve', ...hosts, port, '--node-rank', '1', '--nproc-per-node', '2'], { env });
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringMatching(/Host 1 has --nproc-per-node 2/) });
    server.child.kill('SIGTERM');
    expect((await server.result).code).toBe(0);
  });
});

describe('the address of serve', () => {
  it('requires a token for other hosts', async () => {
    const result = await runCli(['serve', '--listen', '0.0.0.0:0', '--device', 'host']);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/CHECKPOINT_ENGINE_TOKEN is not set/);
  });

  it('accepts clients with the token, and only files below its folders', async () => {
    const env = { CHECKPOINT_ENGINE_TOKEN: 'a-long-secret' };
    const server = await serve(['--listen', '127.0.0.1:0', '--allow-path', checkpoint], { env });
    const bearer = { authorization: 'Bearer a-long-secret' };
    expect(await server.call('GET', '/v1/healthz')).toMatchObject({ status: 200 });
    const refused = await server.call('GET', '/v1/checkpoints', undefined, { authorization: 'Bearer a-long-secreT' });
    expect(refused.json()).toMatchObject({ status: 401, code: 'CE_TOKEN_REFUSED' });
    expect(refused.headers['www-authenticate']).toBe('Bearer');
    const outside = await server.call('POST', '/v1/checkpoints/x/files', { files: ['/etc/passwd'] }, bearer);
    expect(outside.json()).toMatchObject({ status: 422, code: 'CE_CONFIG_INVALID', file: '/etc/passwd' });
    expect((await register(server, 'step-1', bearer)).status).toBe(200);
    expect(await end(server)).toBe(0);
    expect((await server.running.result).stderr).not.toContain('a-long-secret');
  });

  it('does not take an address from another process that listens there', async () => {
    const socket = socketPath();
    const other = createServer().listen(socket);
    cleanup.push(() => void other.close());
    const result = await runCli(['serve', '--uds', socket, '--device', 'host', '--log-level', 'error']);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/Another program listens on .*CE_ADDRESS_IN_USE/s);
    const file = join(folder, 'a-file');
    writeFileSync(file, 'mine');
    const onFile = await runCli(['serve', '--uds', file, '--device', 'host', '--log-level', 'error']);
    expect(onFile.code).toBe(1);
    expect(statSync(file).size).toBe(4);
  });
});
