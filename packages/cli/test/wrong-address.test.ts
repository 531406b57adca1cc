import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { describe, expect, it } from 'vitest';
import { cliFixture } from './cli-fixture.ts';
import { startTestWorker } from './demo-worker.ts';
import { parseJson, runCli, startCli } from './run-cli.ts';

const { folder, checkpoint, cleanup } = await cliFixture();
const update = (...args: string[]): string[] => [
  ...['update', '--checkpoint-path', checkpoint, '--device', 'host', '--log-level', 'error', '--json', ...args],
];

describe('sockets that cannot be created', () => {
  it('end serve at once, and leave nothing behind', async () => {
    const place = join(folder, 'sockets');
    mkdirSync(place);
    for (const path of [join(place, `${'y'.repeat(120)}.sock`), join(place, 'absent', 'x.sock')]) {
      const result = await runCli(['serve', '--device', 'host', '--uds', path, '--log-level', 'error']);
      expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining('CE_CONFIG_INVALID') });
    }
    expect(readdirSync(place)).toEqual([]);
  });

  it.each(['/nonexistent/folder', `/tmp/${'s'.repeat(90)}`])(
    'end the demo with an error that names TMPDIR: %s',
    async (TMPDIR) => {
      const result = await runCli(['demo', '--size', '4MiB', '--device', 'host'], { env: { TMPDIR } });
      expect(result.code).toBe(2);
      expect(result.stderr).toMatch(/Set TMPDIR to/);
      expect(existsSync(TMPDIR)).toBe(false);
    },
  );

  it('end a worker, which can start again at the socket of a killed worker', async () => {
    const long = startCli(['demo-worker', '0', 'host', join(folder, `${'w'.repeat(120)}.sock`), 'silent']);
    expect(await long.result).toMatchObject({ code: 2, stderr: expect.stringMatching(/expected 1 to 107/) });
    const path = join(folder, 'worker.sock');
    const listening = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('listening'))`;
    const killed = spawn(execPath, ['-e', listening], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(killed.stdout, 'data');
    killed.kill('SIGKILL');
    await once(killed, 'exit');
    expect(existsSync(path)).toBe(true);
    const second = await startTestWorker(0, path);
    cleanup.push(() => second.close());
    expect(await runCli(update('--engine', 'worker', '--uds', path))).toMatchObject({ code: 0 });
  });
});

describe('an engine that calls no worker', () => {
  it('is detected by its answer, long before the time-out', async () => {
    const server = createServer((request, response) => {
      request.resume();
      response.end('{"results":[null]}');
    }).listen(0, '127.0.0.1');
    cleanup.push(() => void server.close());
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const endpoint = ['--engine', 'worker', '--endpoint', `http://127.0.0.1:${port}`];
    const result = await runCli(update(...endpoint, '--timeout', '3600'));
    expect(result.code).toBe(1);
    expect(parseJson(result)).toMatchObject({
      error: { code: 'CE_ENGINE_FAILED', message: expect.stringContaining('no worker has connected') },
    });
  });

  it('is another kind of engine, which the hint names', async () => {
    const path = join(folder, 'other.sock');
    const worker = await startTestWorker(0, path);
    cleanup.push(() => worker.close());
    const result = await runCli(update('--uds', path, '--timeout', '3600'));
    expect(parseJson(result)).toMatchObject({
      error: { code: 'CE_ENGINE_UNREACHABLE', hint: expect.stringContaining('--engine worker') },
    });
  });

  it('cannot control or flood the terminal with its answer', async () => {
    const detail = `\u001b]0;title\u0007\u001b[2J\u009b31m\u202e\r${'x'.repeat(900_000)}`;
    const server = createServer((request, response) => {
      request.resume();
      response.writeHead(request.method === 'POST' ? 500 : 200);
      response.end(request.method === 'POST' ? `failed ${detail}` : '{"protocol":2}');
    }).listen(0, '127.0.0.1');
    cleanup.push(() => void server.close());
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const endpoint = ['--engine', 'worker', '--endpoint', `http://127.0.0.1:${port}`];
    const { code, stdout, stderr } = await runCli(update(...endpoint));
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'CE_ENGINE_FAILED' } });
    expect(stderr).toContain('failed \\u001b]0;title\\u0007');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are the subject.
    expect(stdout + stderr).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(stdout.length).toBeLessThan(200_000);
    expect(stderr.length).toBeLessThan(20_000);
  });
});
