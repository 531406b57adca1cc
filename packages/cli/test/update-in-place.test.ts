// Files on /dev/shm are removed after an update has succeeded, and never before.
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { smallCheckpoint, tensorDigests } from './checkpoints.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';
import { parseJson, runCli, startCli } from './run-cli.ts';
import { startServer } from './serve-process.ts';
import { startSilentEngine } from './silent-engine.ts';

let folder: string;
let checkpoint: string;
let worker: TestWorker;
const cleanup: (() => Promise<unknown> | unknown)[] = [];
beforeEach(async () => {
  folder = await mkdtemp('/dev/shm/ce-test-in-place-');
  checkpoint = await smallCheckpoint(join(folder, 'step-1'), 'one', 2 ** 20);
  worker = await startTestWorker(0, join(folder, 'worker.sock'));
});
afterEach(async () => {
  await worker.close();
  for (const step of cleanup.splice(0).reverse()) await step();
  await rm(folder, { recursive: true });
});

const shards = (): string[] => readdirSync(checkpoint).filter((name) => name.endsWith('.safetensors'));
const update = (socket: string, ...args: string[]): string[] => [
  ...['update', '--checkpoint-path', checkpoint, '--engine', 'worker', '--device', 'host', '--log-level', 'error'],
  ...['--uds', join(folder, socket), ...args],
];

describe('files on /dev/shm', () => {
  it('are removed after a success, which the text and the JSON report', async () => {
    const files = shards().map((name) => join(checkpoint, name));
    expect(files).toHaveLength(4);
    const wanted = await tensorDigests(checkpoint);
    const result = await runCli(update('worker.sock', '--json', '--save-metas-file', join(folder, 'metas')));
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(parseJson(result)).toMatchObject({ ok: true, removedFiles: files });
    expect(shards()).toEqual([]);
    expect(await worker.digests()).toEqual(wanted);
    await smallCheckpoint(checkpoint, 'two', 2 ** 20);
    const { stdout } = await runCli(update('worker.sock'));
    expect(stdout).toContain(`removed  4 files that were used in place: of ${checkpoint} (--keep-files keeps them)`);
  });

  it('stay with --keep-files', async () => {
    const result = await runCli(update('worker.sock', '--keep-files', '--json'));
    expect(parseJson(result)).toMatchObject({ ok: true, removedFiles: [] });
    expect(shards()).toHaveLength(4);
  });

  it.each([[], ['--no-stream']])('stay if the engine refuses, and the next run works %s', async (...flags) => {
    const engine = createServer((request, response) => {
      response.writeHead(request.method === 'GET' ? 200 : 400).end('{}');
    }).listen(join(folder, 'engine.sock'));
    cleanup.push(() => engine.close());
    expect(await runCli(update('engine.sock', ...flags))).toMatchObject({ code: 1 });
    expect(shards()).toHaveLength(4);
    expect(await runCli(update('worker.sock', ...flags))).toMatchObject({ code: 0 });
    expect(shards()).toEqual([]);
  });

  it('stay if the command is interrupted, as its hint says', async () => {
    const engine = await startSilentEngine(join(folder, 'silent.sock'));
    cleanup.push(() => engine.close());
    const running = startCli(update('silent.sock', '--json'));
    await engine.asked;
    running.child.kill('SIGINT');
    const { error } = parseJson<{ error: { hint: string } }>(await running.result);
    expect(error.hint).toMatch(/^Run the command again; all files are in place/);
    expect(shards()).toHaveLength(4);
    expect(await runCli(update('worker.sock'))).toMatchObject({ code: 0 });
  });

  it('stay with a server until an update has succeeded, and its status names them', async () => {
    const files = shards().map((name) => join(checkpoint, name));
    const server = await startServer([
      ...['--listen', '127.0.0.1:0', '--engine', 'worker', '--engine-uds', join(folder, 'worker.sock')],
    ]);
    cleanup.push(async () => {
      server.running.child.kill('SIGKILL');
      await server.running.result;
    });
    await server.call('POST', '/v1/checkpoints/a/files', { files: [checkpoint] });
    await server.call('POST', '/v1/checkpoints/a/gather-metas');
    expect(shards()).toHaveLength(4);
    expect(await server.call('POST', '/v1/checkpoints/a/update', {})).toMatchObject({ status: 200 });
    expect(shards()).toEqual([]);
    const updates = await server.call('GET', '/v1/updates');
    expect(updates.json()).toMatchObject({ updates: [{ state: 'succeeded', removed_files: files }] });
    // The ranks do not need the names.
    expect(await server.call('POST', '/v1/checkpoints/a/update', {})).toMatchObject({ status: 200 });
  });
});
