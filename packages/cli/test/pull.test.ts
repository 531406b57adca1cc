import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHostDevice } from '@checkpoint-engine/device';
import { type CopyingWorker, copyingWorker, type KeptSlice, serveWorker, wholeOf } from '@checkpoint-engine/worker';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { smallCheckpoint, temporaryFolder, tensorDigests } from './checkpoints.ts';
import { startTestWorker } from './demo-worker.ts';
import { parseJson, runCli } from './run-cli.ts';

const { folder, remove } = await temporaryFolder();
const checkpoint = await smallCheckpoint(join(folder, 'step-1'), 'one');
const wanted = await tensorDigests(checkpoint);
const cleanup: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});
afterAll(remove);

/** An engine of two devices, each of which keeps every other tensor. */
async function engine(path: string): Promise<CopyingWorker[]> {
  const devices = await Promise.all([0, 1].map((index) => createHostDevice({ index, threads: 2 })));
  const workers = devices.map((device, index) => copyingWorker({ device, keep: (tensor) => keepHalf(tensor, index) }));
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
  it.each([[], ['--no-stream']])('pulls what each worker keeps, says so, and traces it (%s)', async (...flags) => {
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
      expect(outcome).toMatchObject({ strategy: 'pull', bucketCount: 0, deviceBytes: 0 });
      expect(outcome.ranks.reduce((sum, { neededBytes }) => sum + neededBytes, 0)).toBe(outcome.totalBytes);
      for (const { neededBytes, pulledBytes } of outcome.ranks) expect(pulledBytes).toBe(neededBytes);
    }
    const digests = await Promise.all(workers.map((worker) => worker.digests()));
    expect(new Map(digests.flatMap((own) => [...own]))).toEqual(wanted);
    const { traceEvents } = JSON.parse(await readFile(traceFile, 'utf8')) as { traceEvents: { cat?: string }[] };
    expect(traceEvents.some(({ cat }) => cat === 'pull')).toBe(true);
    const text = await runCli(update('--uds', path, '--nproc-per-node', '2', ...flags));
    expect(text.stdout + text.stderr).toMatch(/copied by a worker, which keeps/);
  });

  it('gives everything to everybody on demand, and fails where a worker cannot pull', async () => {
    const path = join(folder, 'engine.sock');
    const workers = await engine(path);
    const buckets = await runCli(update('--uds', path, '--nproc-per-node', '2', '--method', 'buckets', '--json'));
    expect(parseJson(buckets)).toMatchObject({ strategy: 'buckets' });
    expect((await workers[0]!.digests()).size).toBe(Math.ceil(names.length / 2));
    const plain = join(folder, 'plain.sock');
    const worker = await startTestWorker(0, plain);
    cleanup.push(() => worker.close());
    const refused = await runCli(update('--uds', plain, '--method', 'pull', '--json'));
    expect(refused.code).toBe(1);
    expect(parseJson(refused)).toMatchObject({ error: { code: 'CE_NOT_SUPPORTED' } });
  });
});
