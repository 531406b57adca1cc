import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import {
  createEngineClient,
  ENGINE_NAMES,
  type EngineUpdate,
  type EngineWait,
  sglangEngine,
  vllmEngine,
  workerEngine,
} from '../src/index.ts';
import { FakeEngine, keepingLogger, type Step } from './engines-fake.ts';

const handles = { 'GPU-b': 'ipc://@b.sock', 'GPU-a': 'ipc://@a.sock' };
const wait: EngineWait = { signal: new AbortController().signal, timeoutMs: 5_000 };
const update: EngineUpdate = { ...wait, handles };
const open: FakeEngine[] = [];

async function fake(steps: readonly Step[], options?: { uds?: string; apiKey?: string }): Promise<FakeEngine> {
  const engine = await FakeEngine.listen(steps, options);
  open.push(engine);
  return engine;
}

afterEach(() => {
  for (const engine of open.splice(0)) {
    engine.close();
    engine.check();
  }
});

const vllmStep: Step = {
  method: 'POST',
  path: '/collective_rpc',
  body: { method: 'update_weights_from_ipc', args: [handles], timeout: 5 },
};
const flushStep: Step = { method: 'POST', path: '/reset_prefix_cache', reply: { success: true } };
const sglangStep: Step = {
  method: 'POST',
  path: '/update_weights_from_ipc',
  body: { zmq_handles: handles, flush_cache: true, weight_version: null },
  reply: { success: true, message: 'ok' },
};

describe('vllm', () => {
  it('asks for readiness and for the update', async () => {
    const { endpoint } = await fake([
      { method: 'GET', path: '/health' },
      { ...vllmStep, reply: { results: [null, null] } },
      flushStep,
      vllmStep,
      flushStep,
    ]);
    const engine = vllmEngine({ endpoints: [endpoint] });
    await engine.ready(wait);
    await engine.update(update);
    await engine.update(update); // an empty answer is fine too
  });

  it('receives the weight version after the weights', async () => {
    const { endpoint } = await fake([
      vllmStep,
      { method: 'POST', path: '/update_weight_version', body: { new_version: 'step-7' } },
    ]);
    await vllmEngine({ endpoints: [endpoint], flushCache: false }).update({ ...update, weightVersion: 'step-7' });
  });

  it('receives a version that is known only at the end, and none if the update is aborted', async () => {
    const { endpoint } = await fake([
      vllmStep,
      { method: 'POST', path: '/update_weight_version', body: { new_version: 'digest:1' } },
      vllmStep,
    ]);
    const engine = vllmEngine({ endpoints: [endpoint], flushCache: false });
    await engine.update({ ...update, settledVersion: Promise.resolve('digest:1') });
    const aborting = AbortSignal.timeout(200);
    const settledVersion = new Promise<string>(() => {});
    await expect(engine.update({ ...update, signal: aborting, settledVersion })).rejects.toBeInstanceOf(Error);
  });

  it('receives the version "unknown", and a version that it cannot receive is a warning', async () => {
    const step: Step = { method: 'POST', path: '/update_weight_version', body: { new_version: 'unknown' } };
    const { endpoint } = await fake([
      step,
      { ...step, status: 404, reply: { detail: 'Not Found' } },
      { ...step, status: 500, reply: 'EngineDeadError' },
      { ...step, before: 'drop' },
    ]);
    const logger = keepingLogger();
    const engine = vllmEngine({ endpoints: [endpoint], logger });
    for (let count = 0; count < 4; count++) await engine.forgetVersion!();
    expect(logger.lines.filter((line) => line.startsWith('warn'))).toEqual([
      expect.stringContaining('keeps no weight version'),
      expect.stringContaining('still reports its earlier version'),
      expect.stringContaining('still reports its earlier version'),
    ]);
  });

  it('warns if it cannot flush its cache or keep a version, and fails on a broken connection', async () => {
    const version: Step = { method: 'POST', path: '/update_weight_version', body: { new_version: 'v' }, status: 404 };
    const { endpoint } = await fake([
      vllmStep,
      { ...flushStep, status: 404, reply: { detail: 'Not Found' } },
      version,
      vllmStep,
      { ...flushStep, reply: { success: false } },
      vllmStep,
      { ...flushStep, status: 500, reply: 'EngineDeadError' },
    ]);
    const logger = keepingLogger();
    const engine = vllmEngine({ endpoints: [endpoint], logger });
    await engine.update({ ...update, weightVersion: 'v' });
    await engine.update(update);
    const warnings = logger.lines.filter((line) => line.startsWith('warn'));
    expect(warnings).toEqual([
      expect.stringContaining('no route to flush its prefix cache'),
      expect.stringContaining('keeps no weight version'),
      expect.stringContaining('while requests use them'),
    ]);
    await expect(engine.update(update)).rejects.toMatchObject({ code: 'CE_ENGINE_FAILED', status: 500 });
  });

  it.each([
    ['all of it', 2, 2],
    ['a replica of a data-parallel engine', 8, 2],
    ['a release that reports nothing', undefined, undefined],
  ])('passes the pre-flight for %s', async (_, total, replica) => {
    const { endpoint } = await fake(worldSize(total, replica));
    await vllmEngine({ endpoints: [endpoint] }).preflight!(update);
  });

  it.each([
    ['more workers', 4, 4, 'has 4 workers, but'],
    ['fewer workers', 1, 1, 'has 1 workers, but'],
    ['replicas that the update cuts', 8, 4, 'has 8 workers (2 replicas of 4), but the update is for 2 devices'],
  ])('detects %s in the pre-flight', async (_, total, replica, message) => {
    const { endpoint } = await fake(worldSize(total, replica));
    await expect(vllmEngine({ endpoints: [endpoint] }).preflight!(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_MISMATCH',
      message: expect.stringContaining(message),
    });
  });

  it('treats any return value of workers as a failure', async () => {
    const { endpoint } = await fake([{ ...vllmStep, reply: { results: [null, 'Traceback ...'] } }]);
    await expect(vllmEngine({ endpoints: [endpoint] }).update(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_FAILED',
      message: expect.stringContaining('Traceback ...'),
      status: 200,
    });
  });

  it('explains a missing route at once, and asks only once', async () => {
    const { endpoint } = await fake([{ ...vllmStep, status: 404, reply: { detail: 'Not Found' } }]);
    await expect(vllmEngine({ endpoints: [endpoint] }).update(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_FAILED',
      status: 404,
      message: `vllm at ${endpoint.url} answered POST /collective_rpc with 404: Not Found`,
      hint: expect.stringContaining('VLLM_SERVER_DEV_MODE=1'),
      op: 'POST /collective_rpc',
    });
  });

  it('reports a failure with status and text', async () => {
    const { endpoint } = await fake([{ ...vllmStep, status: 500, reply: 'Internal Server Error\nworker 3' }]);
    await expect(vllmEngine({ endpoints: [endpoint] }).update(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_FAILED',
      status: 500,
      detail: 'Internal Server Error\nworker 3',
    });
  });

  it('applies the deadline', async () => {
    const engine = await fake([{ ...vllmStep, body: { ...(vllmStep.body as object), timeout: 1 }, before: 'hang' }]);
    const failed = vllmEngine({ endpoints: [engine.endpoint] }).update({ ...update, timeoutMs: 1_000 });
    await expect(failed).rejects.toMatchObject({ code: 'CE_TIMEOUT', hint: expect.stringContaining('vLLM') });
    await expect.poll(() => engine.cutCount).toBe(1);
  });

  it('closes the connection when it is aborted', async () => {
    const engine = await fake([{ ...vllmStep, before: 'hang' }]);
    const controller = new AbortController();
    const failed = vllmEngine({ endpoints: [engine.endpoint] }).update({ ...update, signal: controller.signal });
    const reason = new Error('rank 1 failed');
    failed.catch(() => {});
    await expect.poll(() => engine.askedCount).toBe(1);
    controller.abort(reason);
    await expect(failed).rejects.toMatchObject({ code: 'CE_ABORTED', cause: reason });
    await expect.poll(() => engine.cutCount).toBe(1);
    const late = vllmEngine({ endpoints: [engine.endpoint] }).update({ ...update, signal: controller.signal });
    await expect(late).rejects.toMatchObject({ code: 'CE_ABORTED' });
  });

  it('reports a broken or refused connection at once', async () => {
    const engine = await fake([{ ...vllmStep, before: 'drop' }]);
    const client = vllmEngine({ endpoints: [engine.endpoint] });
    await expect(client.update(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_UNREACHABLE',
      op: 'POST /collective_rpc',
    });
    engine.close();
    await expect(client.update(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_UNREACHABLE',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('reports an incomplete answer', async () => {
    const { endpoint } = await fake([{ ...vllmStep, before: 'half' }]);
    await expect(vllmEngine({ endpoints: [endpoint] }).update(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_UNREACHABLE',
      op: 'POST /collective_rpc',
    });
  });

  it('does not follow redirects, so that the key stays with the engine', async () => {
    const other = await fake([]);
    const location = `${other.endpoint.url}/collective_rpc`;
    const { endpoint } = await fake([{ ...vllmStep, status: 307, location }], { apiKey: 'sesame' });
    await expect(vllmEngine({ endpoints: [endpoint], apiKey: 'sesame' }).update(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_FAILED',
      status: 307,
      message: expect.stringContaining(location),
      hint: expect.stringContaining('redirects are not followed'),
    });
  });

  it('keeps a path in front of its own, and accepts another path for the update', async () => {
    const { endpoint } = await fake([
      { method: 'GET', path: '/proxy/health' },
      { ...vllmStep, path: '/proxy/inference?x=1' },
      { ...flushStep, path: '/proxy/reset_prefix_cache' },
    ]);
    const engine = vllmEngine({ endpoints: [{ url: `${endpoint.url}/proxy/` }], updatePath: '/inference?x=1' });
    await engine.ready(wait);
    await engine.update(update);
  });
});

describe('secrets', () => {
  it('stay out of logs and errors, even if the engine repeats them', async () => {
    const { endpoint } = await fake(
      [
        { method: 'GET', path: '/ping', status: 503, reply: 'sesame is starting' },
        { method: 'GET', path: '/ping' },
        { ...sglangStep, status: 400, reply: { success: false, message: 'bad request from Bearer sesame' } },
      ],
      { apiKey: 'sesame' },
    );
    const url = endpoint.url.replace('http://', 'http://user:hunter2@');
    const logger = keepingLogger();
    const engine = sglangEngine({ endpoints: [{ url }], apiKey: 'sesame', logger });
    await engine.ready(wait);
    const failure: unknown = await engine.update(update).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'CE_ENGINE_FAILED', status: 400, peer: endpoint.url });
    const gone = await sglangEngine({ endpoints: [{ url: url.replace(/\d+$/, '1') }], apiKey: 'sesame', logger })
      .update(update)
      .catch((error: unknown) => error);
    expect(gone).toMatchObject({ code: 'CE_ENGINE_UNREACHABLE', peer: 'http://127.0.0.1:1' });
    const said = [...logger.lines, inspect(failure, { depth: 9 }), inspect(gone, { depth: 9 })].join('\n');
    expect(said).toContain('Waiting for sglang');
    expect(said).not.toMatch(/sesame|hunter2/);
  });

  it('are refused if a header cannot contain them, and are not printed', () => {
    const make = () => vllmEngine({ endpoints: [{ url: 'http://localhost:1' }], apiKey: 'sesame\n' });
    expect(make).toThrow(expect.objectContaining({ code: 'CE_CONFIG_INVALID' }));
    expect(make).not.toThrow(/sesame/);
  });
});

describe('readiness', () => {
  it('waits while nothing listens, then while the engine loads, until it is ready', async () => {
    const port = await freePort();
    const logger = keepingLogger();
    const ready = vllmEngine({ endpoints: [{ url: `http://127.0.0.1:${port}` }], logger }).ready(wait);
    await expect.poll(() => logger.lines.join()).toContain('Waiting for vllm');
    let looks = 0;
    const { createServer: createHttp } = await import('node:http');
    const server = createHttp((request, response) => {
      expect(request.url).toBe('/health');
      response.writeHead(++looks < 3 ? 503 : 200).end();
    }).listen(port, '127.0.0.1');
    try {
      await ready;
      expect(looks).toBe(3);
      expect(logger.lines.filter((line) => line.startsWith('info'))).toEqual([
        expect.stringMatching(/Waiting for vllm at http:.*GET \/health got no answer .*ECONNREFUSED/),
        expect.stringContaining('vllm is ready'),
      ]);
    } finally {
      server.close();
    }
  });

  it('ends with the time-out and reports the last state', async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    await expect(sglangEngine({ endpoints: [{ url }] }).ready({ ...wait, timeoutMs: 1_000 })).rejects.toMatchObject({
      code: 'CE_ENGINE_UNREACHABLE',
      message: expect.stringMatching(/was not ready within 1000 ms; last: GET \/ping got no answer .*ECONNREFUSED/),
      retryable: true,
    });
  });

  it('does not wait if the key is wrong', async () => {
    const { endpoint } = await fake([
      { method: 'GET', path: '/health', status: 401, reply: { error: 'Unauthorized' } },
    ]);
    await expect(vllmEngine({ endpoints: [endpoint] }).ready(wait)).rejects.toMatchObject({
      code: 'CE_ENGINE_FAILED',
      status: 401,
      hint: expect.stringContaining('API key'),
    });
  });

  it('can be aborted during a pause', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const signal = AbortSignal.timeout(150);
    await expect(vllmEngine({ endpoints: [{ url }] }).ready({ timeoutMs: 60_000, signal })).rejects.toMatchObject({
      code: 'CE_TIMEOUT',
    });
  });
});

describe('sglang', () => {
  it('is ready while its warm-up waits for the weights, without a proxy that cannot reach it', async () => {
    const { endpoint } = await fake([
      { method: 'GET', path: '/ping', status: 503, reply: 'no healthy upstream' },
      { method: 'GET', path: '/ping', status: 503, reply: '' },
      sglangStep,
    ]);
    const engine = sglangEngine({ endpoints: [endpoint] });
    await engine.ready(wait);
    await engine.update(update);
  });

  it.each([
    ['/server_info', { tp_size: 2, api_key: 'sesame' }],
    ['/get_server_info', { tp_size: 1, pp_size: 2 }],
    ['neither', {}],
  ])('is checked before any data moves if it describes itself: %s', async (path, reply) => {
    const steps: Step[] = [
      { method: 'GET', path: '/server_info', status: 404 },
      { method: 'GET', path: '/get_server_info', status: 404 },
    ];
    const at = steps.findIndex((step) => step.path === path);
    const told = at < 0 ? steps : [...steps.slice(0, at), { method: 'GET', path, reply } as const];
    const { endpoint } = await fake([...told, ...told]);
    const engine = sglangEngine({ endpoints: [endpoint] });
    await engine.preflight!(update);
    const failed = engine.preflight!({ ...update, handles: { 'GPU-a': 'ipc://@a.sock' } });
    if (at < 0) await failed;
    else await expect(failed).rejects.toMatchObject({ code: 'CE_ENGINE_MISMATCH' });
  });

  it('receives the version "unknown", without ending running requests', async () => {
    const { endpoint } = await fake([
      {
        method: 'POST',
        path: '/update_weight_version',
        body: { new_version: 'unknown', abort_all_requests: false },
        reply: { success: true, message: 'ok', new_version: 'unknown' },
      },
    ]);
    await sglangEngine({ endpoints: [endpoint] }).forgetVersion!();
  });

  it('is unknown during an update whose version is known only at the end, and then receives it', async () => {
    const version = { method: 'POST', path: '/update_weight_version' } as const;
    const body = { new_version: 'digest:1', abort_all_requests: false };
    const { endpoint } = await fake([
      { ...sglangStep, body: { zmq_handles: handles, flush_cache: true, weight_version: 'unknown' } },
      { ...version, body, reply: { success: true, message: 'ok', new_version: 'digest:1' } },
      { ...sglangStep, body: { zmq_handles: handles, flush_cache: true, weight_version: 'unknown' } },
      { ...version, body, status: 404, reply: { detail: 'Not Found' } },
    ]);
    const logger = keepingLogger();
    const engine = sglangEngine({ endpoints: [endpoint], logger });
    await engine.update({ ...update, settledVersion: Promise.resolve('digest:1') });
    expect(logger.lines.filter((line) => line.startsWith('warn'))).toEqual([]);
    await engine.update({ ...update, settledVersion: Promise.resolve('digest:1') });
    expect(logger.lines.join()).toContain('it reports the version as unknown');
  });

  it('flushes its cache and receives the weight version', async () => {
    const { endpoint } = await fake([
      { method: 'GET', path: '/ping' },
      { ...sglangStep, body: { zmq_handles: handles, flush_cache: true, weight_version: 'step-7' } },
      {
        ...sglangStep,
        body: { zmq_handles: handles, flush_cache: false, weight_version: null, torch_empty_cache: true },
      },
    ]);
    const engine = sglangEngine({ endpoints: [endpoint] });
    await engine.ready(wait);
    await engine.update({ ...update, weightVersion: 'step-7' });
    await sglangEngine({ endpoints: [endpoint], flushCache: false, torchEmptyCache: true }).update(update);
  });

  it('passes on the message of a failure, for any status', async () => {
    const reply = { success: false, message: 'Failed to update weights: no such tensor' };
    const { endpoint } = await fake([
      { ...sglangStep, status: 400, reply },
      { ...sglangStep, status: 200, reply },
      { ...sglangStep, reply: 'hello' },
    ]);
    const engine = sglangEngine({ endpoints: [endpoint] });
    for (const status of [400, 200]) {
      await expect(engine.update(update)).rejects.toMatchObject({
        code: 'CE_ENGINE_FAILED',
        status,
        message: expect.stringContaining('no such tensor'),
      });
    }
    await expect(engine.update(update)).rejects.toMatchObject({
      message: expect.stringContaining('unexpected answer'),
    });
  });

  it('mentions the draft model after a time-out', async () => {
    const { endpoint } = await fake([{ ...sglangStep, before: 'hang' }]);
    const failed = sglangEngine({ endpoints: [endpoint] }).update({ ...update, timeoutMs: 1_000 });
    await expect(failed).rejects.toMatchObject({ code: 'CE_TIMEOUT', hint: expect.stringContaining('draft model') });
  });
});

describe('worker', () => {
  it('is reached over a Unix socket with a key', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ce-engine-'));
    const uds = join(folder, 'worker.sock');
    const { endpoint } = await fake(
      [
        { method: 'GET', path: '/healthz' },
        { method: 'POST', path: '/update', body: { handles }, status: 204 },
      ],
      { uds, apiKey: 'sesame' },
    );
    const engine = workerEngine({ endpoints: [endpoint], apiKey: 'sesame' });
    await engine.ready(wait);
    await engine.update(update);
    rmSync(folder, { recursive: true });
    await expect(engine.update(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_UNREACHABLE',
      message: expect.stringContaining(uds),
    });
  });

  it('passes on problem details', async () => {
    const reply = { title: 'Update failed', detail: 'the hook threw', status: 500 };
    const { endpoint } = await fake([{ method: 'POST', path: '/update', body: { handles }, status: 500, reply }]);
    await expect(workerEngine({ endpoints: [endpoint] }).update(update)).rejects.toMatchObject({
      message: expect.stringContaining('the hook threw'),
      detail: JSON.stringify(reply),
    });
  });
});

describe('createEngineClient', () => {
  it('finds every engine by its name', () => {
    for (const name of ENGINE_NAMES) {
      expect(createEngineClient(name, { endpoints: [{ url: 'http://localhost:1' }] }).name).toBe(name);
    }
  });

  it('refuses unknown names and endpoints that are not URLs', () => {
    const failure = expect.objectContaining({ code: 'CE_CONFIG_INVALID' });
    expect(() => createEngineClient('tgi', { endpoints: [{ url: 'http://localhost:1' }] })).toThrow(failure);
    expect(() => createEngineClient('vllm', { endpoints: [{ url: 'localhost:8000' }] })).toThrow(failure);
    expect(() => createEngineClient('vllm', { endpoints: [] })).toThrow(TypeError);
  });
});

/** vLLM's answers in the pre-flight. */
function worldSize(total: number | undefined, replica: number | undefined): Step[] {
  const answer = (size: number | undefined) => (size === undefined ? { status: 404 } : { reply: { world_size: size } });
  return [
    { method: 'GET', path: '/get_world_size?include_dp=true', ...answer(total) },
    { method: 'GET', path: '/get_world_size?include_dp=false', ...answer(replica) },
    { method: 'GET', path: '/is_sleeping', status: 404 },
  ];
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
