import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeWorldMetas } from '@checkpoint-engine/meta';
import { describe, expect, it } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { smallCheckpoint, tensorDigests } from './checkpoints.ts';
import { cliFixture } from './cli-fixture.ts';
import { rankProcesses, runs, sharedMemoryOf } from './processes.ts';
import { parseJson, runCli, startCli } from './run-cli.ts';
import { startSilentEngine } from './silent-engine.ts';

const { folder, checkpoint, cleanup, startWorkers: workers, socketPath } = await cliFixture();
const wanted = await tensorDigests(checkpoint);

const update = (...args: string[]): string[] => [
  ...['update', '--checkpoint-path', checkpoint, '--engine', 'worker', '--device', 'host', '--log-level', 'warn'],
  ...args,
];
const errorCount = (stderr: string): number => [...stderr.matchAll(/^error: /gm)].length;

describe('update', () => {
  it('loads every byte into one worker, and writes metas and a trace', async () => {
    const { uds, all } = await workers(1);
    const [metasFile, traceFile] = [join(folder, 'metas'), join(folder, 'trace.json')];
    const result = await runCli(update(...uds, '--json', '--save-metas-file', metasFile, '--trace', traceFile));
    expect(result.stderr).toBe('');
    expect(result.code).toBe(0);
    expect(parseJson(result)).toMatchObject({
      ok: true,
      command: 'update',
      checkpoint: 'step-1',
      worldSize: 1,
      device: 'host',
      tensorCount: wanted.size,
    });
    expect(await all[0]!.digests()).toEqual(wanted);
    const metas = decodeWorldMetas(await readFile(metasFile));
    expect(metas.flatMap(({ tensors }) => tensors.map(({ name }) => name)).sort()).toEqual([...wanted.keys()].sort());
    const { traceEvents } = JSON.parse(await readFile(traceFile, 'utf8')) as { traceEvents: { cat?: string }[] };
    const stages = new Set(traceEvents.map(({ cat }) => cat));
    expect(stages).toEqual(new Set([undefined, 'phases', 'read', 'h2d', 'reload']));
  });

  it('streams by default: files are read during the update, and the trace shows it', async () => {
    const { uds, all } = await workers(1);
    const traceFile = join(folder, 'stream.json');
    const flags = ['--json', '--trace', traceFile, '--bucket-size', '256KiB', '--host-memory', '1MiB'];
    const result = await runCli(update(...uds, ...flags));
    expect(result).toMatchObject({ code: 0, stderr: '' });
    const { bucketCount, ranks } = parseJson(result) as { bucketCount: number; ranks: { poolBytes: number }[] };
    expect(ranks.map(({ poolBytes }) => poolBytes)).toEqual([0]);
    expect(await all[0]!.digests()).toEqual(wanted);
    const { traceEvents } = JSON.parse(await readFile(traceFile, 'utf8')) as { traceEvents: { cat?: string }[] };
    for (const stage of ['read', 'h2d', 'reload']) {
      expect(traceEvents.filter(({ cat }) => cat === stage)).toHaveLength(bucketCount);
    }
  });

  it('reads everything first with --no-stream', async () => {
    const { uds, all } = await workers(2);
    const result = await runCli(update(...uds, '--nproc-per-node', '2', '--no-stream', '--json'));
    expect(result).toMatchObject({ code: 0, stderr: '' });
    const { ranks } = parseJson(result) as { ranks: { poolBytes: number }[] };
    for (const { poolBytes } of ranks) expect(poolBytes).toBeGreaterThan(0);
    for (const worker of all) expect(await worker.digests()).toEqual(wanted);
  });

  it('loads every byte into the workers of three ranks that it supervises', async () => {
    const { uds, all } = await workers(3);
    const result = await runCli(update(...uds, '--nproc-per-node', '3', '--bucket-size', '256KiB'));
    expect(result.stderr).toBe('');
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/^✓ step-1 is live on 3 host ranks\n/);
    for (const worker of all) expect(await worker.digests()).toEqual(wanted);
  });

  it('is one rank of a world that a launcher started', async () => {
    const { uds, all } = await workers(2);
    const env = { WORLD_SIZE: '2', MASTER_ADDR: '127.0.0.1', MASTER_PORT: `${await freePort()}` };
    const results = await Promise.all(
      ['0', '1'].map((rank) => runCli(update(...uds, '--json'), { env: { ...env, RANK: rank, LOCAL_RANK: rank } })),
    );
    expect(results.map(({ code, stderr }) => ({ code, stderr }))).toEqual([
      { code: 0, stderr: '' },
      { code: 0, stderr: '' },
    ]);
    expect(parseJson(results[0]!)).toMatchObject({ ok: true, worldSize: 2 });
    expect(results[1]!.stdout).toBe('');
    for (const worker of all) expect(await worker.digests()).toEqual(wanted);
  });

  it('reports once that there is no checkpoint', async () => {
    const { uds } = await workers(1);
    const args = [
      'update',
      '--checkpoint-path',
      join(folder, 'nowhere'),
      '--engine',
      'worker',
      '--device',
      'host',
      ...uds,
    ];
    const result = await runCli([...args, '--nproc-per-node', '3', '--log-level', 'error']);
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(errorCount(result.stderr)).toBe(1);
    expect(result.stderr).toMatch(/No file at .*nowhere/);
    expect(result.stderr).toMatch(/CE_FILE_NOT_FOUND/);
  });

  it('reports a missing engine once, with its rank', async () => {
    const { uds } = await workers(2);
    const absent = join(folder, 'absent.sock');
    const result = await runCli(update(...uds, '--uds', absent, '--nproc-per-node', '3', '--timeout', '2', '--json'));
    expect(result.code).toBe(1);
    expect(parseJson(result)).toMatchObject({
      ok: false,
      command: 'update',
      error: { code: 'CE_ENGINE_UNREACHABLE', rank: 2 },
    });
    expect(errorCount(result.stderr)).toBe(1);
    expect(result.stderr).toMatch(/What to do: Start the engine/);
  });

  it('works again after a failure, with the same worker', async () => {
    const { uds, all } = await workers(1);
    const broken = await smallCheckpoint(join(folder, 'broken'), 'two');
    await rm(join(broken, 'model-00003-of-00004.safetensors'));
    expect(await runCli(['update', '--checkpoint-path', broken, ...update(...uds).slice(3)])).toMatchObject({
      code: 1,
    });
    expect(await runCli(update(...uds))).toMatchObject({ code: 0 });
    expect(await all[0]!.digests()).toEqual(wanted);
  });
});

describe('update under attack', () => {
  /** Three ranks during an update that does not end, because the engine never answers. */
  const inTheMiddle = async () => {
    const socket = socketPath();
    const engine = await startSilentEngine(socket);
    cleanup.push(() => engine.close());
    const running = startCli(update('--uds', socket, '--nproc-per-node', '3', '--timeout', '60', '--json'));
    cleanup.push(() => void running.child.kill('SIGKILL'));
    // The test checks the result later.
    const ended = running.result.then(({ stdout, stderr }) =>
      Promise.reject(new Error(`Ended too early: ${stdout}${stderr}`)),
    );
    await Promise.race([engine.asked, ended]);
    const ranks = rankProcesses(running.child.pid!);
    expect([...ranks.keys()].sort()).toEqual([0, 1, 2]);
    return { engine, running, ranks };
  };
  const expectGone = (ranks: ReadonlyMap<number, number>): void => {
    expect([...ranks.values()].filter(runs)).toEqual([]);
    expect(sharedMemoryOf(ranks.values())).toEqual([]);
  };

  it('names the killed rank, and leaves nothing behind', async () => {
    const { engine, running, ranks } = await inTheMiddle();
    process.kill(ranks.get(1)!, 'SIGKILL');
    const result = await running.result;
    expect(result.code).toBe(1);
    expect(parseJson(result)).toMatchObject({
      ok: false,
      error: { code: 'CE_RANK_LOST', rank: 1, message: 'Rank 1 was killed by SIGKILL' },
    });
    expect(errorCount(result.stderr)).toBe(1);
    await engine.givenUp;
    expectGone(ranks);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('ends cleanly on %s', async (signal) => {
    const { engine, running, ranks } = await inTheMiddle();
    running.child.kill(signal);
    const result = await running.result;
    expect(result.code).toBe(signal === 'SIGINT' ? 130 : 143);
    expect(parseJson(result)).toMatchObject({
      ok: false,
      error: { code: 'CE_ABORTED', message: `Interrupted by ${signal}` },
    });
    expect(errorCount(result.stderr)).toBe(1);
    await engine.givenUp;
    expectGone(ranks);
  });

  it('ends at once on a second signal', async () => {
    const { running, ranks } = await inTheMiddle();
    // A stopped rank cannot end cleanly.
    process.kill(ranks.get(2)!, 'SIGSTOP');
    running.child.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 500));
    const startedAtMs = performance.now();
    running.child.kill('SIGINT');
    expect(await running.result).toMatchObject({ code: 130 });
    expect(performance.now() - startedAtMs).toBeLessThan(8_000); // an orderly exit may take 10 s
    expectGone(ranks);
  });

  it('leaves no rank behind when it is killed itself', async () => {
    const { engine, running, ranks } = await inTheMiddle();
    running.child.kill('SIGKILL');
    await running.result;
    await engine.givenUp;
    await expect.poll(() => [...ranks.values()].filter(runs)).toEqual([]);
    expect(sharedMemoryOf(ranks.values())).toEqual([]);
  });
});
