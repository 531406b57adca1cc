import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import {
  type CopyingWorker,
  copyingWorker,
  type ServeWorkerOptions,
  serveWorker,
  type WorkerServer,
} from '@checkpoint-engine/worker';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { call, digestsOf, Sender, testTensor } from './v2-support.ts';

const buckets = [0, 1, 2].map((b) => [testTensor(`a.${b}`, [100]), testTensor(`b.${b}`, [7, 9], 'BF16')]);

describe('serveWorker', () => {
  let devices: HostDevice[];
  let workers: CopyingWorker[];
  let server: WorkerServer;
  const senders: Sender[] = [];

  const serve = async (options: Partial<ServeWorkerOptions> = {}): Promise<string> => {
    server = await serveWorker({
      devices,
      onUpdate: (update, device) => workers[devices.indexOf(device as HostDevice)]!.receive(update),
      listen: { port: 0 },
      ...options,
    });
    return 'port' in server.address ? `http://127.0.0.1:${server.address.port}` : '';
  };
  const newSenders = async (): Promise<Record<string, string>> => {
    senders.push(...(await Promise.all(devices.map((device) => Sender.create(device, 64 * 1024)))));
    return Object.fromEntries(senders.map(({ session }, at) => [devices[at]!.uuid, session.address]));
  };
  const post = (url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${url}/update`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });

  const health = async (url: string) =>
    (await (await fetch(`${url}/healthz`)).json()) as { protocol: number; devices: string[]; updating: boolean };
  const versions = async (url: string): Promise<string[]> => {
    const { workers: described } = (await (await fetch(`${url}/describe`)).json()) as {
      workers: { weightVersion: string }[];
    };
    return described.map(({ weightVersion }) => weightVersion);
  };

  beforeAll(async () => {
    devices = await Promise.all([0, 1].map((index) => createHostDevice({ index })));
    workers = devices.map((device) => copyingWorker({ device }));
  });
  afterEach(async () => {
    await server.close();
    for (const sender of senders.splice(0)) await sender.close();
  });
  afterAll(async () => {
    for (const worker of workers) await worker.close();
    for (const device of devices) await device.close();
  });

  it('updates all devices of the engine and answers when they are done', async () => {
    const url = await serve();
    expect(await health(url)).toEqual({ protocol: 2, devices: devices.map(({ uuid }) => uuid), updating: false });
    for (let round = 0; round < 2; round += 1) {
      const handles = await newSenders();
      const answer = post(url, { handles, timeoutMs: 10_000 });
      await Promise.all(senders.map((sender) => sender.send(buckets)));
      expect((await answer).status).toBe(200);
      for (const worker of workers) expect(Object.fromEntries(await worker.digests())).toEqual(digestsOf(buckets));
      for (const sender of senders.splice(0)) await sender.close();
    }
  });

  it('keeps the version of each device, which is unknown from the first bytes until all have finished', async () => {
    const url = await serve();
    let handles = await newSenders();
    let answer = post(url, { handles });
    await Promise.all(senders.map((sender) => sender.send(buckets, 'v1')));
    expect((await answer).status).toBe(200);
    expect(await versions(url)).toEqual(['v1', 'v1']);
    for (const sender of senders.splice(0)) await sender.close();

    // Both have finished, and are told that another one has not.
    handles = await newSenders();
    answer = post(url, { handles });
    const isFinished = senders.map(async ({ session, buffer }, at) => {
      await session.open(buffer, call);
      expect(session.held).toBe('v1');
      await session.reload(await senders[at]!.place(0, buckets[0]!), call);
      await session.finish(call);
    });
    await Promise.all(isFinished);
    expect(await versions(url)).toEqual(['unknown', 'unknown']);
    await senders[0]!.session.confirm!('v2', call);
    await senders[1]!.session.fail(new Error('another rank was lost'));
    expect((await answer).status).toBe(500);
    expect(await versions(url)).toEqual(['v2', 'unknown']);
    for (const sender of senders.splice(0)) await sender.close();

    handles = await newSenders();
    answer = post(url, { handles });
    await Promise.all(senders.map((sender) => sender.send(buckets, 'v3')));
    expect((await answer).status).toBe(200);
    expect(await versions(url)).toEqual(['v3', 'v3']);
  });

  it('keeps its version if an update fails before the first bytes', async () => {
    const url = await serve();
    let answer = post(url, { handles: await newSenders() });
    await Promise.all(senders.map((sender) => sender.send(buckets, 'v1')));
    await answer;
    for (const sender of senders.splice(0)) await sender.close();
    answer = post(url, { handles: await newSenders() });
    await Promise.all(senders.map(({ session, buffer }) => session.open(buffer, call)));
    await Promise.all(senders.map(({ session }) => session.fail(new Error('no'))));
    expect((await answer).status).toBe(500);
    expect(await versions(url)).toEqual(['v1', 'v1']);
  });

  it('runs one update at a time, and finishes it if the engine did not', async () => {
    const url = await serve({ onUpdate: (update) => update.forEachBucket(() => {}) });
    const handles = await newSenders();
    const answer = post(url, { handles });
    await expect.poll(async () => (await health(url)).updating).toBe(true);
    expect((await post(url, { handles })).status).toBe(409);
    await Promise.all(senders.map((sender) => sender.send(buckets)));
    expect((await answer).status).toBe(200);
  });

  it('answers invalid input with problem details', async () => {
    const url = await serve({ token: 'secret' });
    const authorization = 'Bearer secret';
    const handles = await newSenders();
    const [first] = Object.keys(handles);
    for (const [body, status, text] of [
      ['{', 400, 'not JSON'],
      [{}, 400, 'Expected "handles"'],
      [{ handles, timeoutMs: -1 }, 400, 'timeoutMs'],
      [{ handles: { ...handles, 'GPU-x': 'ce2:x' } }, 400, '"GPU-x"'],
      [{ handles: { [first!]: handles[first!] } }, 400, 'lacks'],
      [{ handles: { ...handles, [first!]: 'ipc://@old' } }, 400, 'protocol v2'],
      ['x'.repeat(1 << 21), 413, 'at most'],
    ] as const) {
      const response = await post(url, body, { authorization });
      expect(response.status).toBe(status);
      expect(response.headers.get('content-type')).toBe('application/problem+json');
      expect(await response.json()).toMatchObject({ status, detail: expect.stringContaining(text) });
    }
    expect((await post(url, { handles })).status).toBe(401);
    expect((await post(url, { handles }, { authorization, 'content-type': 'text/plain' })).status).toBe(415);
    expect((await fetch(`${url}/update`)).status).toBe(405);
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
  });

  it('ends the update on all devices when one fails, and reports the error to both sides', async () => {
    const url = await serve({
      onUpdate: async (update, device) => {
        for await (const tensor of update) {
          if (device === devices[1] && tensor.name === 'b.1') throw new Error('bad weight');
        }
      },
    });
    const handles = await newSenders();
    const answer = post(url, { handles });
    const results = await Promise.allSettled(
      senders.map((sender, at) => sender.send(at === 0 ? [...buckets, ...Array(200).fill(buckets[0])] : buckets)),
    );
    expect(results[1]).toMatchObject({
      reason: { code: 'CE_WORKER_FAILED', message: expect.stringContaining('bad weight') },
    });
    expect(results[0]).toMatchObject({
      reason: { code: 'CE_WORKER_FAILED', message: expect.stringContaining('bad weight') },
    });
    for (const sender of senders) await sender.session.fail(new Error('over'));
    const response = await answer;
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({ status: 500, code: 'CE_WORKER_FAILED', detail: 'bad weight' });
    expect((await health(url)).updating).toBe(false);
  });

  it('ends an update that takes too long, or runs while the server is closed', async () => {
    const url = await serve();
    const handles = await newSenders();
    const late = await post(url, { handles, timeoutMs: 100 });
    expect(late.status).toBe(500);
    expect(await late.json()).toMatchObject({ code: 'CE_TIMEOUT' });
    for (const sender of senders.splice(0)) await sender.close();
    const answer = post(url, { handles: await newSenders() });
    await expect.poll(async () => (await health(url)).updating).toBe(true);
    await server.close();
    expect(await (await answer).json()).toMatchObject({ status: 500, code: 'CE_CLOSED' });
  });

  it('refuses web pages if there is no token', async () => {
    const ask = (url: string, path: string, headers: Record<string, string>): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const { hostname, port } = new URL(url);
        const method = path === '/update' ? 'POST' : 'GET';
        request({ hostname, port, path, method, headers }, (response) => resolve(response.resume().statusCode))
          .on('error', reject)
          .end();
      });
    const url = await serve();
    expect(await ask(url, '/healthz', { host: 'rebound.example' })).toBe(421);
    expect(await ask(url, '/update', { host: 'rebound.example', origin: 'http://rebound.example' })).toBe(421);
    expect(await ask(url, '/update', { origin: 'https://page.example' })).toBe(403);
    for (const host of ['localhost', '127.0.0.1:1', '[::1]']) expect(await ask(url, '/healthz', { host })).toBe(200);
    await server.close();
    // A client with the token is not a web page.
    const guarded = await serve({ token: 'secret' });
    expect(await ask(guarded, '/healthz', { host: 'engine-0.engines' })).toBe(200);
  });

  it('refuses unknown fields', async () => {
    const answer = await post(await serve(), { handles: {}, timeout: 5 });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ detail: expect.stringContaining('"timeout"') });
  });

  it('listens on a Unix socket of its user, and elsewhere only on request', async () => {
    await expect(serve({ listen: { host: '0.0.0.0', port: 0 } })).rejects.toThrow(/allowRemote/);
    const folder = mkdtempSync(join(tmpdir(), 'serve-worker-'));
    const path = join(folder, 'worker.sock');
    await serve({ listen: { path } });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await expect(serveWorker({ devices, onUpdate: () => {}, listen: { path } })).rejects.toMatchObject({
      code: 'CE_ADDRESS_IN_USE',
    });
    const status = await new Promise((resolve, reject) => {
      request({ socketPath: path, path: '/healthz' }, (response) => resolve(response.resume().statusCode))
        .on('error', reject)
        .end();
    });
    expect(status).toBe(200);
    await server.close();
    rmSync(folder, { recursive: true });
  });
});
