import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHostDevice } from '@checkpoint-engine/device';
import { readCheckpoint } from '@checkpoint-engine/meta';
import { type CopyingWorker, copyingWorker, type KeptSlice, serveWorker, wholeOf } from '@checkpoint-engine/worker';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { smallCheckpoint, temporaryFolder, tensorDigests } from './checkpoints.ts';
import { startTestWorker } from './demo-worker.ts';
import { parseJson, runCli } from './run-cli.ts';
import { startServer } from './serve-process.ts';

const { folder, remove } = await temporaryFolder();
const checkpoint = await smallCheckpoint(join(folder, 'step-1'), 'one');
const wanted = await tensorDigests(checkpoint);
const cleanup: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});
afterAll(remove);

/** An engine of two devices, each of which keeps every other tensor. */
async function engine(path: string, options: { prove?: boolean } = {}): Promise<CopyingWorker[]> {
  const devices = await Promise.all([0, 1].map((index) => createHostDevice({ index, threads: 2 })));
  const workers = devices.map((device, index) =>
    copyingWorker({ device, ...options, keep: (tensor) => keepHalf(tensor, index) }),
  );
  const server = await serveWorker({
    devices,
    listen: { path },
    onUpdate: (update, device) => workers[devices.findIndex(({ uuid }) => uuid === device.uuid)]!.receive(update),
    pullerOf: (device) => workers[devices.findIndex(({ uuid }) => uuid === device.uuid)]!.puller,
  });
  cleanup.push(async () => {
    await server.close();
    for (const worker of workers) await worker.close();
    for (const device of devices) await device.close();
  });
  return workers;
}

const names = [...wanted.keys()].sort();

function keepHalf(tensor: Parameters<typeof wholeOf>[0], index: number): readonly KeptSlice[] | undefined {
  return names.indexOf(tensor.name) % 2 === index ? wholeOf(tensor) : undefined;
}

const update = (...args: string[]): string[] => [
  ...['update', '--checkpoint-path', checkpoint, '--engine', 'worker', '--device', 'host', '--log-level', 'warn'],
  ...args,
];

describe('update --method', () => {
  it.each([[], ['--no-stream']])('pulls what each worker keeps, reports it, and traces it (%s)', async (...flags) => {
    const path = join(folder, 'engine.sock');
    const workers = await engine(path);
    const traceFile = join(folder, 'trace.json');
    const args = ['--uds', path, '--nproc-per-node', '2', '--method', 'pull', '--json', '--trace', traceFile, ...flags];
    for (let turn = 0; turn < 2; turn++) {
      const result = await runCli(update(...args));
      expect(result).toMatchObject({ code: 0, stderr: '' });
      const outcome = parseJson(result) as {
        totalBytes: number;
        ranks: { neededBytes: number; pulledBytes: number }[];
      };
      expect(outcome).toMatchObject({ method: 'pull', bucketCount: 0, deviceBytes: 0 });
      expect(outcome.ranks.reduce((sum, { neededBytes }) => sum + neededBytes, 0)).toBe(outcome.totalBytes);
      for (const { neededBytes, pulledBytes } of outcome.ranks) expect(pulledBytes).toBe(neededBytes);
    }
    const digests = await Promise.all(workers.map((worker) => worker.digests()));
    expect(new Map(digests.flatMap((own) => [...own]))).toEqual(wanted);
    const { traceEvents } = JSON.parse(await readFile(traceFile, 'utf8')) as { traceEvents: { cat?: string }[] };
    expect(traceEvents.some(({ cat }) => cat === 'pull')).toBe(true);
    const text = await runCli(update('--uds', path, '--nproc-per-node', '2', ...flags));
    expect(text.stdout + text.stderr).toMatch(/each worker keeps .* of .*, and copies .* itself/);
  });

  it('sends everything to all workers on request, and fails if a worker cannot pull', async () => {
    const path = join(folder, 'engine.sock');
    const workers = await engine(path);
    const buckets = await runCli(update('--uds', path, '--nproc-per-node', '2', '--method', 'buckets', '--json'));
    expect(parseJson(buckets)).toMatchObject({ method: 'buckets' });
    expect((await workers[0]!.digests()).size).toBe(Math.ceil(names.length / 2));
    const plain = join(folder, 'plain.sock');
    const worker = await startTestWorker(0, plain);
    cleanup.push(() => worker.close());
    const refused = await runCli(update('--uds', plain, '--method', 'pull', '--json'));
    expect(refused.code).toBe(1);
    expect(parseJson(refused)).toMatchObject({ error: { code: 'CE_NOT_SUPPORTED' } });
  });
});

describe('doctor --engine worker', () => {
  it('shows the decisions of each device of an engine, before and after an update', async () => {
    const path = join(folder, 'engine.sock');
    await engine(path, { prove: true });
    const ask = () => runCli(['doctor', '--engine', 'worker', '--uds', path]);
    const askJson = async () =>
      parseJson(await runCli(['doctor', '--engine', 'worker', '--uds', path, '--json'])) as { engines: object[] };
    expect((await ask()).stdout).toMatch(/all 2 workers.*: has not recorded what it keeps yet/);
    // Tensors without bytes are not in it.
    const own = (await readCheckpoint(checkpoint)).tensors.filter(
      ({ name, sizeBytes }) => sizeBytes > 0 && names.indexOf(name) % 2 === 0,
    ).length;
    for (let turn = 0; turn < 2; turn++) {
      const updated = await runCli(update('--uds', path, '--nproc-per-node', '2', '--json'));
      expect(updated).toMatchObject({ code: 0 });
      const { ranks } = parseJson(updated) as { ranks: { modules: object }[] };
      expect(ranks[0]!.modules).toMatchObject({ modules: own, direct: own, staged: 0, opaque: 0, reasons: [] });
      const { engines } = await askJson();
      expect(engines).toMatchObject([
        {
          ...{ engine: 'worker', endpoint: path, pulls: true, receiver: '@checkpoint-engine/worker' },
          workers: [
            { weights: 'loaded', checkpoint: 'step-1', pull: 'pulls', modules: { direct: own } },
            { weights: 'loaded', checkpoint: 'step-1', pull: 'pulls' },
          ],
        },
      ]);
    }
    expect((await ask()).stdout).toMatch(new RegExp(`${own} of ${own} modules direct, 0 staged, 0 opaque`));
    const text = await runCli(update('--uds', path, '--nproc-per-node', '2'));
    expect(text.stdout).toMatch(new RegExp(`modules +.*${own} of ${own} modules direct`));
  });

  it('says what to do about a worker that only takes buckets', async () => {
    const path = join(folder, 'plain.sock');
    const worker = await startTestWorker(0, path);
    cleanup.push(() => worker.close());
    const told = await runCli(['doctor', '--engine', 'worker', '--uds', path]);
    expect(told).toMatchObject({ code: 0 });
    expect(told.stdout).toMatch(/receives every tensor in buckets[\s\S]*pullerOf/);
    const text = await runCli(update('--uds', path));
    expect(text.stdout).toMatch(/method +buckets: The worker of rank 0 receives buckets only/);
  });
});

describe('plan of a running engine', () => {
  const plan = (...args: string[]) =>
    runCli(['plan', '--checkpoint-path', checkpoint, '--device', 'host', '--engine', 'worker', ...args]);

  it('asks its workers what they keep, and loads nothing', async () => {
    const path = join(folder, 'engine.sock');
    const workers = await engine(path);
    const planned = await plan('--world-size', '2', '--uds', path, '--json');
    expect(planned).toMatchObject({ code: 0, stderr: '' });
    const { needs } = parseJson(planned) as {
      needs: { checkpointBytes: number; ranks: { neededBytes: number; savedBytes: number; modules: object }[] };
    };
    expect(needs.ranks).toHaveLength(2);
    expect(needs.ranks.reduce((sum, { neededBytes }) => sum + neededBytes, 0)).toBe(needs.checkpointBytes);
    for (const { neededBytes, savedBytes, modules } of needs.ranks) {
      expect(neededBytes + savedBytes).toBe(needs.checkpointBytes);
      expect(modules).toMatchObject({ staged: 0, opaque: 0 });
    }
    const digests = await Promise.all(workers.map((worker) => worker.digests()));
    expect(new Map(digests.flatMap((own) => [...own]))).not.toEqual(wanted);
    const text = await plan('--world-size', '2', '--uds', path);
    expect(text.stdout).toMatch(
      /With a pull: the workers of worker at .*engine.sock[\s\S]*rank 0: \d+ of \d+ modules direct/,
    );
    // The files were not touched, and the update works.
    expect(await runCli(update('--uds', path, '--nproc-per-node', '2'))).toMatchObject({ code: 0 });
  });

  it('writes what they keep, for plans without the engine', async () => {
    const path = join(folder, 'engine.sock');
    await engine(path);
    const file = join(folder, 'needs.json');
    const asked = await plan('--world-size', '2', '--uds', path, '--save-needs', file, '--json');
    expect(asked).toMatchObject({ code: 0, stderr: '' });
    interface Planned {
      readonly needs: { readonly ranks: readonly { readonly neededBytes: number }[] };
    }
    const needed = ({ needs }: Planned) => needs.ranks.map(({ neededBytes }) => neededBytes);
    const again = await plan('--world-size', '2', '--ranks-per-host', '1', '--needs', file, '--json');
    expect(again).toMatchObject({ code: 0 });
    expect(needed(parseJson<Planned>(again))).toEqual(needed(parseJson<Planned>(asked)));
    expect(needed(parseJson<Planned>(again)).every((bytes) => bytes > 0)).toBe(true);
    // It replaces what was there, and leaves nothing else.
    expect(await plan('--world-size', '2', '--uds', path, '--save-needs', file)).toMatchObject({ code: 0 });
    expect((await readdir(folder)).filter((name) => name.startsWith('needs'))).toEqual(['needs.json']);
  });

  it.each([
    ['a folder that does not exist', 'nowhere/needs.json', /--save-needs.*cannot be written/],
    ['a folder', '.', /--save-needs.*it is a directory/],
  ])('asks nothing where the file would be %s', async (_, name, message) => {
    const path = join(folder, 'engine.sock');
    await engine(path);
    const planned = await plan('--world-size', '2', '--uds', path, '--save-needs', join(folder, name), '--json');
    expect(planned.code).not.toBe(0);
    expect(parseJson(planned)).toMatchObject({
      error: { code: 'CE_CONFIG_INVALID', message: expect.stringMatching(message) },
    });
    const told = await runCli(['doctor', '--engine', 'worker', '--uds', path]);
    expect(told.stdout).toMatch(/has not recorded what it keeps yet/);
  });

  it('has nothing to write without an engine', async () => {
    const planned = await plan('--world-size', '2', '--tp', '2', '--save-needs', join(folder, 'needs.json'));
    expect(planned.code).not.toBe(0);
    expect(planned.stderr).toMatch(/neither --endpoint nor --uds/);
  });

  it('reports that workers that only receive buckets cannot be queried', async () => {
    const path = join(folder, 'plain.sock');
    const worker = await startTestWorker(0, path);
    cleanup.push(() => worker.close());
    const planned = await plan('--world-size', '1', '--uds', path, '--json');
    expect(planned.code).toBe(1);
    expect(parseJson(planned)).toMatchObject({ error: { code: 'CE_NOT_SUPPORTED' } });
  });
});

describe('serve', () => {
  it('prepares a TypeScript engine that pulls when metas are gathered, and applies the method of each update', async () => {
    const path = join(folder, 'engine.sock');
    const workers = await engine(path);
    const args = ['--engine', 'worker', '--engine-uds', path, '--nproc-per-node', '2', '--listen', '127.0.0.1:0'];
    const server = await startServer([...args, '--inference-parallel-size', '2']);
    cleanup.push(async () => {
      server.running.child.kill('SIGKILL');
      await server.running.result;
    });
    const decided = async () => {
      const told = await runCli(['doctor', '--engine', 'worker', '--uds', path, '--json']);
      const { engines } = parseJson(told) as { engines: { workers: { pull: string; weights: string }[] }[] };
      return engines[0]!.workers.map(({ pull, weights }) => [pull, weights]);
    };
    expect(await decided()).toEqual([
      ['unrecorded', 'initial'],
      ['unrecorded', 'initial'],
    ]);
    const call = async (method: string, path: string, body?: object) => {
      const answer = await server.call(method, `/v1${path}`, body);
      expect([answer.status, answer.text]).toEqual([200, '']);
    };
    await call('POST', '/checkpoints/a/files', { files: [checkpoint] });
    await call('POST', '/checkpoints/a/gather-metas');
    expect(await decided()).toEqual([
      ['pulls', 'initial'],
      ['pulls', 'initial'],
    ]);
    for (const [requested, method] of [
      [undefined, 'pull'],
      ['buckets', 'buckets'],
      ['pull', 'pull'],
    ]) {
      await call('POST', '/checkpoints/a/update', requested === undefined ? {} : { method: requested });
      const { updates } = (await server.call('GET', '/v1/updates')).json<{ updates: object[] }>();
      const ranks = [0, 1].map((rank) => ({
        rank,
        ...(method === 'pull' ? { modules: { opaque: 0, staged: 0, reasons: [] } } : {}),
      }));
      expect(updates[0]).toMatchObject({ method, method_reason: expect.stringMatching(/./), ranks });
    }
    const digests = await Promise.all(workers.map((worker) => worker.digests()));
    expect(new Map(digests.flatMap((own) => [...own]))).toEqual(wanted);
  });
});
