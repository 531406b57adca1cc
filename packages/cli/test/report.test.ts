// Pages of updates, written by the command and by the server.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { cliFixture } from './cli-fixture.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';
import { parseJson, runCli } from './run-cli.ts';
import { startServer } from './serve-process.ts';

const { folder, checkpoint, cleanup } = await cliFixture();

async function worker(index: number): Promise<{ readonly path: string; readonly worker: TestWorker }> {
  const path = join(folder, `${index}-${cleanup.length}.sock`);
  const started = await startTestWorker(index, path);
  cleanup.push(() => started.close());
  return { path, worker: started };
}

it('update --report writes a page of all ranks', async () => {
  const both = await Promise.all([worker(0), worker(1)]);
  const report = join(folder, 'update.html');
  const flags = ['--engine', 'worker', '--device', 'host', '--log-level', 'warn', '--nproc-per-node', '2', '--json'];
  const sockets = both.flatMap(({ path }) => ['--uds', path]);
  const result = await runCli(['update', '--checkpoint-path', checkpoint, ...flags, ...sockets, '--report', report]);
  expect(result).toMatchObject({ code: 0, stderr: '' });
  expect(parseJson(result)).toMatchObject({ reportFile: report });
  const page = readFileSync(report, 'utf8');
  expect(page).toContain('step-1 into 2 ranks: <span class="succeeded">');
  for (const text of ['rank 0', 'rank 1', 'reload by the engine', 'The longest phase is']) expect(page).toContain(text);
});

it('update --report refuses a path that cannot be written before any data moves', async () => {
  const { path, worker: one } = await worker(0);
  const flags = ['--engine', 'worker', '--device', 'host', '--uds', path, '--report', join(folder, 'absent', 'r.html')];
  const result = await runCli(['update', '--checkpoint-path', checkpoint, ...flags]);
  expect(result.code).toBe(2);
  expect(result.stderr).toContain('--report');
  expect((await one.digests()).size).toBe(0);
});

it('serve --report-folder keeps only the pages and traces of the newest updates, including failed ones', async () => {
  const { path, worker: one } = await worker(0);
  const reports = join(folder, 'reports');
  mkdirSync(reports);
  writeFileSync(join(reports, 'update-notes.html'), 'mine');
  const flags = ['--engine', 'worker', '--engine-uds', path, '--report-folder', reports, '--keep-reports', '2'];
  const server = await startServer(['--uds', join(folder, 'api.sock'), ...flags]);
  cleanup.push(async () => {
    server.running.child.kill('SIGTERM');
    await server.running.result;
  });
  await server.call('POST', '/v1/checkpoints/a/files', { files: [checkpoint] });
  await server.call('POST', '/v1/checkpoints/a/gather-metas');
  for (let update = 0; update < 3; update++) {
    expect((await server.call('POST', '/v1/checkpoints/a/update')).status).toBe(200);
  }
  await one.close();
  expect((await server.call('POST', '/v1/checkpoints/a/update', { timeout: 2 })).status).not.toBe(200);
  const pages = () => readdirSync(reports).filter((name) => /^update-\d.*\.html$/.test(name));
  await expect
    .poll(() => pages().map((name) => /class="(\w+)"/.exec(readFileSync(join(reports, name), 'utf8'))![1]))
    .toEqual(['succeeded', 'failed']);
  expect(readdirSync(reports).filter((name) => name.endsWith('.trace.json'))).toHaveLength(2);
  expect(existsSync(join(reports, 'update-notes.html'))).toBe(true);
});

it('serve --trace writes only the traces of updates', async () => {
  const { path, worker: one } = await worker(0);
  const traces = join(folder, 'traces');
  const server = await startServer([
    ...['--uds', join(folder, 'traced.sock'), '--engine', 'worker', '--engine-uds', path, '--trace', traces],
  ]);
  cleanup.push(async () => {
    server.running.child.kill('SIGTERM');
    await server.running.result;
    await one.close();
  });
  await server.call('POST', '/v1/checkpoints/a/files', { files: [checkpoint] });
  await server.call('POST', '/v1/checkpoints/a/gather-metas');
  expect((await server.call('POST', '/v1/checkpoints/a/update')).status).toBe(200);
  await expect.poll(() => readdirSync(traces)).toEqual([expect.stringMatching(/^update-\d.*\.trace\.json$/)]);
  const text = readFileSync(join(traces, readdirSync(traces)[0]!), 'utf8');
  expect((JSON.parse(text) as { traceEvents: object[] }).traceEvents.length).toBeGreaterThan(3);
});
