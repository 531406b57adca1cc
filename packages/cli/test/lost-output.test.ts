import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdir, readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { tensorDigests } from './checkpoints.ts';
import { cliFixture } from './cli-fixture.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';
import { parseJson, runCli } from './run-cli.ts';
import { startServer } from './serve-process.ts';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const { folder, checkpoint, cleanup, socketPath } = await cliFixture();
const wanted = await tensorDigests(checkpoint);

const startWorker = async (): Promise<{ worker: TestWorker; socket: string }> => {
  const socket = socketPath();
  const worker = await startTestWorker(0, socket);
  cleanup.push(() => worker.close());
  return { worker, socket };
};
const update = (socket: string, ...args: string[]): string[] => [
  ...['update', '--checkpoint-path', checkpoint, '--engine', 'worker', '--device', 'host', '--uds', socket, ...args],
];
/** Runs a line of bash in which `$CE` is the command. */
const bash = (line: string) =>
  spawnSync('bash', ['-c', `CE() { "${execPath}" "${MAIN}" "$@"; }; ${line}`], { encoding: 'utf8', timeout: 60_000 });

describe('output without a reader', () => {
  it('ends neither a server nor its ranks', async () => {
    const { worker, socket } = await startWorker();
    const server = await startServer(['--uds', socketPath(), '--engine', 'worker', '--engine-uds', socket]);
    const { child } = server.running;
    cleanup.push(async () => {
      child.kill('SIGTERM');
      await server.running.result;
    });
    expect((await server.call('POST', '/v1/checkpoints/a/files', { files: [checkpoint] })).status).toBe(200);
    child.stderr!.destroy();
    child.stdout!.destroy();
    expect((await server.call('POST', '/v1/checkpoints/a/gather-metas')).status).toBe(200);
    // Each of them is logged.
    for (let round = 0; round < 3; round++) {
      expect((await server.call('POST', '/v1/checkpoints/a/update')).status).toBe(200);
    }
    expect(await worker.digests()).toEqual(wanted);
    expect((await server.call('GET', '/v1/checkpoints')).json()).toMatchObject({ checkpoints: [{ name: 'a' }] });
  });

  it('lets a server start and work with a full device as its log', async () => {
    const { socket } = await startWorker();
    const address = socketPath();
    const full = openSync('/dev/full', 'w');
    const args = ['serve', '--device', 'host', '--uds', address, '--engine', 'worker', '--engine-uds', socket];
    const child = spawn(execPath, [MAIN, ...args], { env, stdio: ['ignore', full, full] });
    const ended = once(child, 'exit');
    const answer = (): string =>
      spawnSync('curl', [
        '-s',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        '--unix-socket',
        address,
        'http://x/v1/readyz',
      ]).stdout.toString();
    await expect.poll(answer).toBe('200');
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });

  it.each(['| true', '> /dev/full', '>&-'])('does not fail an update: update %s', async (where) => {
    const { worker, socket } = await startWorker();
    const line = update(socket, '--log-level', 'warn').join(' ');
    const { stdout, stderr } = bash(`CE ${line} ${where}; echo "status \${PIPESTATUS[0]}"`);
    expect(stdout).toContain('status 0');
    expect(stderr).not.toMatch(/node:|Unhandled/);
    if (where === '> /dev/full') expect(stderr).toMatch(/could not be written to standard output: .*ENOSPC/);
    expect(await worker.digests()).toEqual(wanted);
  });

  it('fails a command whose only purpose is its output, unless its reader has left', () => {
    const left = bash(`CE inspect --tensors ${checkpoint} | true; echo "status \${PIPESTATUS[0]}"`);
    expect(left).toMatchObject({ stdout: 'status 0\n', stderr: '' });
    const full = bash(`CE inspect ${checkpoint} > /dev/full; echo "status $?"`);
    expect(full.stdout).toBe('status 1\n');
    expect(full.stderr).toMatch(/^The result could not be written/);
  });
});

describe('SIGHUP', () => {
  it('does not end a server without a terminal, and the log names the signal that ends it', async () => {
    const server = await startServer(['--uds', socketPath()]);
    const { child, result, untilPrinted } = server.running;
    cleanup.push(() => void child.kill('SIGKILL'));
    child.kill('SIGHUP');
    await untilPrinted(/SIGHUP is ignored/);
    expect((await server.call('GET', '/v1/readyz')).status).toBe(200);
    child.kill('SIGTERM');
    expect(await result).toMatchObject({ code: 0, stderr: expect.stringContaining('"signal":"SIGTERM"') });
  });
});

describe('output files', () => {
  it.each(['--trace', '--save-metas-file'])('of %s are checked before any data moves', async (flag) => {
    const { worker, socket } = await startWorker();
    for (const path of [join(folder, 'absent', 'out'), folder]) {
      const result = await runCli(update(socket, flag, path, '--json'));
      expect(result.code).toBe(2);
      expect(parseJson(result)).toMatchObject({
        error: { code: 'CE_CONFIG_INVALID', message: expect.stringContaining(flag) },
      });
    }
    expect(await worker.digests()).toEqual(new Map());
  });

  it('that cannot be written in the end cause a warning of an update that succeeded', async () => {
    const { worker, socket } = await startWorker();
    const link = join(folder, 'full');
    await symlink('/dev/full', link);
    const full = ['--trace', '/dev/full', '--save-metas-file', link];
    const result = await runCli(update(socket, ...full, '--json'));
    expect(result.code).toBe(0);
    const { warnings, ...outcome } = parseJson<{ ok: boolean; warnings: string[] }>(result);
    expect(outcome).toMatchObject({ ok: true });
    expect(outcome).not.toHaveProperty('traceFile');
    expect(outcome).not.toHaveProperty('metasFile');
    expect(warnings.join('\n')).toMatch(
      /trace could not be written to .*ENOSPC.*metas could not be written to .*ENOSPC/s,
    );
    expect(await worker.digests()).toEqual(wanted);
  });

  it('leave no unfinished files', async () => {
    const { socket } = await startWorker();
    const out = join(folder, 'out');
    await mkdir(out);
    const files = ['--trace', join(out, 'trace.json'), '--save-metas-file', join(out, 'metas')];
    const result = await runCli(update(socket, ...files, '--json'));
    expect(result.code).toBe(0);
    expect((await readdir(out)).sort()).toEqual(['metas', 'trace.json']);
    // The ranks that the metas name have ended.
    expect(parseJson(result)).toMatchObject({ warnings: [expect.stringContaining('--sleep-time')] });
  });
});
