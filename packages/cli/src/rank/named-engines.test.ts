import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { silentLogger } from '@checkpoint-engine/interface';
import { afterEach, describe, expect, it } from 'vitest';
import type { NamedTarget } from '../config/requests.ts';
import { namedEngineOptions } from './named-engines.ts';
import type { RankContext } from './rank-context.ts';

interface Asked {
  readonly path: string;
  readonly key: string | undefined;
  readonly body: unknown;
}

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server that has only vLLM's update route, and records its requests. */
async function engine(status = 200): Promise<{ readonly url: string; readonly asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const isUpdate = text.includes('update_weights_from_ipc');
    if (isUpdate) asked.push({ path: request.url!, key: request.headers.authorization, body: JSON.parse(text) });
    response.writeHead(isUpdate ? status : 404).end();
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

const target = (url: string, deviceUuids: string[], more: Partial<NamedTarget> = {}): NamedTarget => ({
  ...{ endpoints: [url], uds: [], updatePath: '/collective_rpc', isFromClient: false, deviceUuids, timeoutMs: 60_000 },
  ...more,
});

const handles = { 'GPU-0': 'ipc://@checkpoint-engine-GPU-0-7.sock', 'GPU-1': 'ipc://@checkpoint-engine-GPU-1-7.sock' };

async function update(named: readonly NamedTarget[]): Promise<object[]> {
  const events: object[] = [];
  const { signal } = new AbortController();
  const context = { rank: 0, secrets: { apiKey: 'secret' }, logger: silentLogger, signal } as unknown as RankContext;
  const targets = { engine: 'vllm', endpoints: [], uds: [], flushCache: false, named } as const;
  const options = namedEngineOptions({ ...context, onEvent: (event) => void events.push(event) }, targets, named);
  const wait = { loaded: Promise.resolve(), groupIndex: 0, timeoutMs: 300_000, signal };
  expect(await options.chooseWorkers!(wait)).toMatchObject({ workers: 'v1', passes: 'one' });
  await options.requestEngine({ ...wait, handles });
  return events;
}

describe('namedEngineOptions', () => {
  it("sends each engine the Python tool's request, with the addresses of only its ranks", async () => {
    const [a, b] = [await engine(), await engine()];
    const events = await update([
      target(a.url, ['GPU-1']),
      target(b.url, [], { updatePath: '/rpc?x=1', timeoutMs: 7_000 }),
    ]);
    expect(a.asked).toEqual([
      {
        ...{ path: '/collective_rpc', key: 'Bearer secret' },
        body: { method: 'update_weights_from_ipc', args: [{ 'GPU-1': handles['GPU-1'] }], timeout: 60 },
      },
    ]);
    expect(b.asked).toMatchObject([{ path: '/rpc?x=1', body: { args: [handles], timeout: 7 } }]);
    expect(events).toMatchObject([
      { state: 'asked', groupIndex: 0, endpoint: a.url },
      { state: 'asked', groupIndex: 1, endpoint: b.url },
      { state: 'acknowledged' },
      { state: 'acknowledged' },
    ]);
  });

  it('does not send the API key to engines that only the client knows', async () => {
    const { url, asked } = await engine();
    await update([target(url, [], { isFromClient: true })]);
    expect(asked).toMatchObject([{ key: undefined }]);
  });

  it('fails with the answer of the engine that refuses', async () => {
    const [a, b] = [await engine(), await engine(503)];
    await expect(update([target(a.url, ['GPU-0']), target(b.url, ['GPU-1'])])).rejects.toMatchObject({
      ...{ code: 'CE_ENGINE_FAILED', status: 503, peer: b.url },
    });
  });
});
