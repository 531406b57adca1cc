// The HTTP API of one parameter server, on the host device, with a worker that stores what it receives.
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import { createHttpApi, type HttpApi, type ServerWorldOptions, serverWorld } from '@checkpoint-engine/http';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { decodeWorldMetas } from '@checkpoint-engine/meta';
import { connectStore, type EngineClient, localStore, ParameterServer, startStoreServer } from '@checkpoint-engine/ps';
import { type CopyingWorker, copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let folder: string;
let device: HostDevice;
let worker: CopyingWorker;
let server: ParameterServer;
let api: HttpApi;

/** A safetensors file with one tensor of these bytes. */
function writeTensor(file: string, name: string, bytes: Uint8Array): string {
  const header = JSON.stringify({ [name]: { dtype: 'U8', shape: [bytes.length], data_offsets: [0, bytes.length] } });
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  const path = join(folder, file);
  writeFileSync(path, Buffer.concat([size, Buffer.from(header), bytes]));
  return path;
}

/** An engine in this process. */
const engine: EngineClient = {
  name: 'here',
  workers: 'v2',
  ready: async () => {},
  update: async ({ handles, signal }) => worker.receive(await receiveUpdate(handles[device.uuid]!, { device, signal })),
};

const call = async (method: string, path: string, body?: unknown): Promise<{ status: number; json: unknown }> => {
  const init =
    body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const response = await api.fetch(new Request(`http://127.0.0.1${path}`, { method, ...init }));
  const text = await response.text();
  return { status: response.status, json: text === '' ? undefined : JSON.parse(text) };
};

const serve = (options: Partial<ServerWorldOptions> = {}): void => {
  api = createHttpApi(serverWorld({ server, device, engineOf: () => engine, ...options }));
};

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ce-server-world-'));
  device = await createHostDevice();
  worker = copyingWorker({ device });
  server = await ParameterServer.create({ store: localStore(), device });
  serve();
});
afterEach(async () => {
  api.close();
  await server.close();
  await worker.close();
  await device.close();
  rmSync(folder, { recursive: true });
});

describe('serverWorld', () => {
  it.each([{ stream: false }, { stream: true }])('registers, gathers, updates and deletes with %o', async (how) => {
    const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => index * 7);
    const files = [writeTensor('a.safetensors', 'weight', bytes)];
    expect(await call('POST', '/v1/checkpoints/a/files', { files, ...how })).toMatchObject({ status: 200 });
    expect(await call('GET', '/v1/checkpoints/a')).toMatchObject({
      status: 200,
      json: { name: 'a', state: 'registered', has_metas: false, ranks: [{ rank: 0, state: 'registered' }] },
    });
    expect(await call('POST', '/v1/checkpoints/a/gather-metas')).toMatchObject({ status: 200 });
    expect(await call('POST', '/v1/checkpoints/a/update', { weight_version: '7' })).toMatchObject({ status: 200 });
    const digest = createHash('sha256').update(bytes).digest('hex');
    expect(createHash('sha256').update(worker.tensors.get('weight')!.bytes()).digest('hex')).toBe(digest);
    const { json } = await call('GET', '/v1/updates');
    expect(json).toMatchObject({ updates: [{ checkpoint: 'a', state: 'succeeded' }] });
    expect(await call('DELETE', '/v1/checkpoints/a')).toMatchObject({ status: 200 });
    expect(await call('GET', '/v1/checkpoints')).toMatchObject({ json: { checkpoints: [] } });
    expect(server.checkpoints).toEqual([]);
  });

  it('reports the method and its reason, and fails if no worker can do a requested pull', async () => {
    const files = [writeTensor('a.safetensors', 'weight', new Uint8Array(10))];
    await call('POST', '/v1/checkpoints/a/files', { files });
    await call('POST', '/v1/checkpoints/a/gather-metas');
    expect((await call('POST', '/v1/checkpoints/a/update', { method: 'pull' })).json).toMatchObject({
      status: 422,
      code: 'CE_NOT_SUPPORTED',
    });
    const last = async (): Promise<unknown> => {
      const { updates } = (await call('GET', '/v1/updates')).json as { updates: unknown[] };
      return updates[0];
    };
    for (const [body, reason] of [
      [{}, /rank 0 receives buckets only/],
      [{ method: 'buckets' }, /requested whole buckets/],
    ] as const) {
      expect(await call('POST', '/v1/checkpoints/a/update', body)).toMatchObject({ status: 200 });
      expect(await last()).toMatchObject({
        ...{ method: 'buckets', method_reason: expect.stringMatching(reason) },
        ranks: [{ needed_bytes: 10, pull_bytes: 0, reload_bytes: 10 }],
      });
    }
  });

  it('shows its one rank, and is ready', async () => {
    const { status, json } = await call('GET', '/v1/readyz');
    expect({ status, json }).toMatchObject({ status: 200, json: { ready: true, world_size: 1 } });
  });

  it('answers invalid requests with problems, and stays usable', async () => {
    const files = [writeTensor('a.safetensors', 'weight', new Uint8Array(10))];
    const missing = await call('POST', '/v1/checkpoints/a/files', { files: [join(folder, 'missing.safetensors')] });
    expect(missing.json).toMatchObject({ code: 'CE_FILE_NOT_FOUND' });
    expect((await call('POST', '/v1/checkpoints/a/update', {})).json).toMatchObject({ code: 'CE_CHECKPOINT_UNKNOWN' });
    expect(await call('POST', '/v1/checkpoints/a/files', { files })).toMatchObject({ status: 200 });
    const again = await call('POST', '/v1/checkpoints/a/files', { files });
    expect(again.json).toMatchObject({ code: 'CE_CHECKPOINT_EXISTS' });
    expect((await call('POST', '/v1/checkpoints/a/update', {})).json).toMatchObject({ code: 'CE_METAS_MISSING' });
    await call('POST', '/v1/checkpoints/a/gather-metas');
    const elsewhere = await call('POST', '/v1/checkpoints/a/update', { ranks: [0, 1] });
    expect(elsewhere.json).toMatchObject({ code: 'CE_CONFIG_INVALID' });
    expect(await call('POST', '/v1/checkpoints/a/update', {})).toMatchObject({ status: 200 });
  });

  it('fails an update that the engine refuses, and the next one works', async () => {
    let refuses = true;
    const moody: EngineClient = {
      ...engine,
      async update(asked) {
        if (refuses) throw new CheckpointEngineError('CE_ENGINE_FAILED', 'The engine is busy', 'Ask it later');
        await engine.update(asked);
      },
    };
    serve({ engineOf: () => moody });
    const files = [writeTensor('a.safetensors', 'weight', Uint8Array.of(1, 2, 3))];
    await call('POST', '/v1/checkpoints/a/files', { files });
    await call('POST', '/v1/checkpoints/a/gather-metas');
    expect((await call('POST', '/v1/checkpoints/a/update', {})).json).toMatchObject({ code: 'CE_ENGINE_FAILED' });
    refuses = false;
    expect(await call('POST', '/v1/checkpoints/a/update', {})).toMatchObject({ status: 200 });
    expect([...worker.tensors.get('weight')!.bytes()]).toEqual([1, 2, 3]);
  });

  it('does not read a file that checkFiles refuses', async () => {
    const refused = new CheckpointEngineError('CE_FILE_UNREADABLE', 'Not below the folder', 'Name another file');
    const checked: (readonly string[])[] = [];
    serve({
      checkFiles: async (files) => {
        checked.push(files);
        throw refused;
      },
    });
    const files = [writeTensor('a.safetensors', 'weight', new Uint8Array(10))];
    const { json } = await call('POST', '/v1/checkpoints/a/files', { files });
    expect(json).toMatchObject({ code: 'CE_FILE_UNREADABLE', detail: 'Not below the folder' });
    expect(checked).toEqual([files]);
    expect(server.checkpoints).toEqual([]);
    expect((await call('GET', '/v1/checkpoints')).json).toEqual({ checkpoints: [] });
  });

  it('exports metas that it imports again, and refuses those of another checkpoint', async () => {
    const files = [writeTensor('a.safetensors', 'weight', new Uint8Array(10))];
    await call('POST', '/v1/checkpoints/a/files', { files });
    await call('POST', '/v1/checkpoints/a/gather-metas');
    const exported = await api.fetch(new Request('http://127.0.0.1/v1/checkpoints/a/metas'));
    const metas = new Uint8Array(await exported.arrayBuffer());
    expect(decodeWorldMetas(metas)).toMatchObject([{ checkpoint: 'a', tensors: [{ name: 'weight' }] }]);
    await call('DELETE', '/v1/checkpoints/a');
    const headers = { 'content-type': 'application/msgpack' };
    const post = (name: string) =>
      api.fetch(new Request(`http://127.0.0.1/v1/checkpoints/${name}/metas`, { method: 'POST', headers, body: metas }));
    expect((await post('a')).status).toBeLessThan(300);
    expect(await (await post('b')).json()).toMatchObject({ code: 'CE_METAS_INVALID' });
    const { json } = await call('GET', '/v1/checkpoints');
    expect(json).toMatchObject({ checkpoints: [{ name: 'a', has_metas: true, ranks: [] }] });
    expect(await call('DELETE', '/v1/checkpoints/a')).toMatchObject({ status: 200 });
  });

  it('ends a registration whose checkpoint is deleted, and frees the name', async () => {
    let isChecking = (): void => {};
    const checking = new Promise<void>((resolve) => {
      isChecking = resolve;
    });
    let goOn = (): void => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    serve({
      checkFiles: async () => {
        isChecking();
        await held;
      },
    });
    const files = [writeTensor('a.safetensors', 'weight', new Uint8Array(10))];
    const registering = call('POST', '/v1/checkpoints/a/files', { files });
    await checking;
    const deleting = call('DELETE', '/v1/checkpoints/a');
    goOn();
    expect(await deleting).toMatchObject({ status: 200 });
    expect((await registering).json).toMatchObject({ code: 'CE_ABORTED' });
    expect(server.checkpoints).toEqual([]);
    expect(await call('POST', '/v1/checkpoints/a/files', { files })).toMatchObject({ status: 200 });
  });

  it('refuses one rank of several', async () => {
    const rendezvous = await startStoreServer({ host: '127.0.0.1', port: 0, worldSize: 2 });
    const join = (rank: number) => connectStore({ rank, worldSize: 2, address: rendezvous.address });
    const stores = await Promise.all([join(0), join(1)]);
    const one = await ParameterServer.create({ store: stores[0]!, device });
    expect(() => serverWorld({ server: one, device, engineOf: () => engine })).toThrow(RangeError);
    await one.close();
    for (const store of stores) await store.close();
    await rendezvous.close();
  });
});
