import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CheckpointEngineError } from '@checkpoint-engine/interface';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { createEngineClient, type EngineName, type EngineWait, lmdeployEngine, vllmEngine } from '../src/index.ts';
import { keepingLogger } from './engines-fake.ts';

const folder = mkdtempSync(join(tmpdir(), 'wrong-server-'));
const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(folder, name)) as [string, string];
execFileSync(
  'openssl',
  [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-keyout', key, '-out', cert, '-subj', '/CN=localhost'],
  ],
  { stdio: 'ignore' },
);
afterAll(() => rmSync(folder, { recursive: true }));

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    if ('closeAllConnections' in server) (server as unknown as { closeAllConnections(): void }).closeAllConnections();
    server.close();
  }
});
const listen = async (server: Server): Promise<number> => {
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
};
/** Answers these paths with 200, and all others with 404. */
const serverOf =
  (replies: Readonly<Record<string, string>>): RequestListener =>
  (request, response) => {
    const reply = replies[request.url ?? ''];
    request.resume();
    response.writeHead(reply === undefined ? 404 : 200).end(reply ?? '{"detail":"Not Found"}');
  };
// Far longer than the test may take, so a test that waits for it fails.
const wait: EngineWait = { signal: new AbortController().signal, timeoutMs: 600_000 };
const ready = (engine: EngineName, url: string): Promise<void> =>
  createEngineClient(engine, { endpoints: [{ url }] }).ready(wait);

describe('a server that is not the engine', () => {
  it.each([
    ['vllm', { '/healthz': '{"protocol":2,"devices":[]}' }, /--engine worker/],
    ['vllm', { '/ping': '' }, /--engine sglang/],
    ['worker', { '/health': '' }, /--engine vllm or lmdeploy/],
    ['vllm', { '/healthz': 'ok' }, /Check the address, and --engine/],
    ['sglang', {}, /Check the address, and --engine/],
  ] as const)('is detected at once: %s at %j', async (engine, replies, hint) => {
    const port = await listen(createServer(serverOf(replies)));
    await expect(ready(engine, `http://127.0.0.1:${port}`)).rejects.toMatchObject({
      code: 'CE_ENGINE_UNREACHABLE',
      message: expect.stringMatching(/has no \/\w+: it answers 404/),
      hint: expect.stringMatching(hint),
      status: 404,
    });
  });

  it.each(['vllm', 'sglang', 'lmdeploy', 'worker'] as const)('can be a website (client of %s)', async (engine) => {
    const page = '\n<!DOCTYPE html><html><body>Sign in</body></html>';
    const port = await listen(createServer((_, response) => response.end(page)));
    await expect(ready(engine, `http://127.0.0.1:${port}`)).rejects.toMatchObject({
      code: 'CE_ENGINE_FAILED',
      message: expect.stringMatching(/answered GET \/\w+ with 200: a web page, which no engine sends$/),
      hint: expect.stringMatching(/sign-in page of a proxy/),
    });
  });

  it.each([407, 511])('is a proxy that requires a login: %i', async (status) => {
    const port = await listen(createServer((_, response) => response.writeHead(status).end()));
    await expect(ready('vllm', `http://127.0.0.1:${port}`)).rejects.toMatchObject({
      code: 'CE_ENGINE_FAILED',
      hint: expect.stringMatching(/a proxy requires a login/),
      status,
    });
  });

  it.each([400, 406, 410, 421, 426, 431, 451])('answers %i, which does not change', async (status) => {
    const port = await listen(createServer((_, response) => response.writeHead(status).end()));
    await expect(ready('worker', `http://127.0.0.1:${port}`)).rejects.toMatchObject({
      code: 'CE_ENGINE_UNREACHABLE',
      message: expect.stringMatching(`answers /healthz with ${status}`),
      status,
    });
  });

  it.each([408, 425, 429, 500, 503])('answers %i until it is ready', async (status) => {
    let requests = 0;
    const port = await listen(
      createServer((_, response) => response.writeHead(++requests < 3 ? status : 200).end('{}')),
    );
    await ready('worker', `http://127.0.0.1:${port}`);
    expect(requests).toBe(3);
  });

  it('can be a proxy whose page says that the engine starts', async () => {
    let requests = 0;
    const starting: RequestListener = (_, response) => {
      response.writeHead(++requests === 1 ? 503 : 200).end(requests === 1 ? '<html>503</html>' : '');
    };
    const port = await listen(createServer(starting));
    await ready('vllm', `http://127.0.0.1:${port}`);
    expect(requests).toBe(2);
  });

  it('is detected by an additional path in its address', async () => {
    const port = await listen(createServer(serverOf({ '/health': '' })));
    await expect(ready('vllm', `http://127.0.0.1:${port}/v1`)).rejects.toMatchObject({
      hint: expect.stringMatching(/^Remove \/v1 from/),
    });
  });

  it.each([
    [folder, 'is a directory, not a socket'],
    [key, 'is a file, not a socket'],
  ])('can be at a path that is not a socket: %s', async (uds, message) => {
    const engine = createEngineClient('worker', { endpoints: [{ url: 'http://localhost', uds }] });
    await expect(engine.ready(wait)).rejects.toMatchObject({
      code: 'CE_ENGINE_UNREACHABLE',
      message: expect.stringContaining(message),
      hint: 'Correct --uds',
    });
  });

  it.each(['SSH-2.0-OpenSSH_9.6\r\n', '220 mail ready\r\n'])(
    'can use another protocol than HTTP: %j',
    async (greeting) => {
      const port = await listen(createTcpServer((socket) => socket.on('error', () => {}).write(greeting)));
      await expect(ready('vllm', `http://127.0.0.1:${port}`)).rejects.toMatchObject({
        code: 'CE_ENGINE_UNREACHABLE',
        message: expect.stringContaining('does not use HTTP'),
      });
    },
  );
});

describe('an address that cannot be reached', () => {
  it('reports an untrusted certificate', async () => {
    const options = { key: readFileSync(key), cert: readFileSync(cert) };
    const port = await listen(createTlsServer(options, serverOf({ '/health': '' })));
    await expect(ready('vllm', `https://localhost:${port}`)).rejects.toMatchObject({
      code: 'CE_ENGINE_UNREACHABLE',
      message: expect.stringMatching(/over TLS: .*certificate/),
      hint: expect.stringContaining('NODE_EXTRA_CA_CERTS'),
    });
  });

  it('has the wrong scheme: http for a TLS server, and the other way round', async () => {
    const options = { key: readFileSync(key), cert: readFileSync(cert) };
    const secure = await listen(createTlsServer(options, serverOf({ '/health': '' })));
    await expect(ready('vllm', `http://127.0.0.1:${secure}`)).rejects.toMatchObject({
      message: expect.stringContaining('uses TLS'),
      hint: expect.stringContaining('https://'),
    });
    const plain = await listen(createServer(serverOf({ '/health': '' })));
    await expect(ready('vllm', `https://127.0.0.1:${plain}`)).rejects.toMatchObject({
      message: expect.stringContaining('does not use TLS'),
      hint: expect.stringContaining('http://'),
    });
  });

  it('has a name that does not resolve', async () => {
    await expect(ready('vllm', 'http://engine.invalid:8000')).rejects.toMatchObject({
      code: 'CE_ENGINE_UNREACHABLE',
      message: expect.stringContaining('the name engine.invalid does not resolve'),
    });
  });

  it('has a socket whose path is too long', () => {
    const uds = `/tmp/${'x'.repeat(120)}.sock`;
    expect(() => vllmEngine({ endpoints: [{ url: 'http://localhost', uds }] })).toThrow(/has 130 bytes/);
  });
});

describe('an engine that has received the weights', () => {
  const update = { ...wait, handles: { 'GPU-a': 'ipc://@a', 'GPU-b': 'ipc://@b' } };
  const vllm = async (extra: Readonly<Record<string, [number, string]>>) => {
    const replies: Record<string, [number, string]> = {
      '/collective_rpc': [200, '{"results":[null,null]}'],
      '/reset_prefix_cache': [200, ''],
      ...extra,
    };
    const port = await listen(
      createServer((request, response) => {
        const [status, text] = replies[request.url ?? ''] ?? [404, '{}'];
        request.resume().on('end', () => response.writeHead(status).end(text));
      }),
    );
    const logger = keepingLogger();
    return { logger, endpoint: { url: `http://127.0.0.1:${port}` } };
  };

  it('succeeds with a warning if its cache could not be reset', async () => {
    const { logger, endpoint } = await vllm({ '/reset_prefix_cache': [500, '{"error":{"message":"boom"}}'] });
    await vllmEngine({ endpoints: [endpoint], logger }).update(update);
    expect(logger.lines.join('\n')).toMatch(/^warn vllm has the new weights, but .*reset_prefix_cache with 500: boom/m);
  });

  it('fails with an explanation if the engine cannot serve without the next request', async () => {
    const { logger, endpoint } = await vllm({
      '/update_weights_from_ipc': [200, JSON.stringify({ success: true, ready: true, is_sleeping: true })],
      '/wakeup?tags=kv_cache': [500, '{}'],
    });
    const engine = lmdeployEngine({ endpoints: [endpoint], logger, wakeAfter: true });
    await expect(engine.update(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_FAILED',
      message: expect.stringMatching(/^lmdeploy has the new weights, but .*wakeup/),
    });
  });

  it('may answer for replicas, as with Ray Serve', async () => {
    const replica = (result: unknown) => JSON.stringify({ results: [{ replica: 0, worker_results: [null, result] }] });
    const fine = await vllm({ '/collective_rpc': [200, replica(null)] });
    await vllmEngine({ endpoints: [fine.endpoint] }).update(update);
    const failed = await vllm({ '/collective_rpc': [200, replica('Traceback')] });
    await expect(vllmEngine({ endpoints: [failed.endpoint] }).update(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_FAILED',
      message: expect.stringContaining('Traceback'),
    });
  });

  it('causes a warning while it sleeps', async () => {
    const { logger, endpoint } = await vllm({ '/is_sleeping': [200, '{"is_sleeping":true}'] });
    await vllmEngine({ endpoints: [endpoint], logger }).preflight!(update);
    expect(logger.lines.join('\n')).toMatch(/^warn vLLM at .* sleeps: .*wake_up/m);
  });

  it('passes its own hint on', async () => {
    const problem = {
      detail: 'the memory cannot be opened',
      hint: 'Share /dev/shm',
      error: { code: 'CE_X', detail: 'at x' },
    };
    const { endpoint } = await vllm({ '/update': [500, JSON.stringify(problem)] });
    await expect(createEngineClient('worker', { endpoints: [endpoint] }).update(update)).rejects.toMatchObject({
      message: expect.stringContaining('the memory cannot be opened'),
      hint: 'Share /dev/shm',
      detail: 'at x',
    });
  });

  it('keeps the beginning and the end of a very long answer', async () => {
    const long = 'x'.repeat(900_000);
    const answers = [`begin${long}end`, JSON.stringify({ detail: long, hint: long })];
    for (const answer of answers) {
      const { endpoint } = await vllm({ '/update': [500, answer] });
      const updating = createEngineClient('worker', { endpoints: [endpoint] }).update(update);
      const error = (await updating.catch((failure: unknown) => failure)) as CheckpointEngineError;
      expect(error.code).toBe('CE_ENGINE_FAILED');
      expect(/\(\d+ characters\)/.test(error.detail ?? '')).toBe(true);
      expect(JSON.stringify(error).length).toBeLessThan(70_000);
    }
  });
});
