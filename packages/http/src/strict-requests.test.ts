import { describe, expect, it } from 'vitest';
import { createHttpApi, type HttpApiOptions } from './create-http-api.ts';
import type { HttpWorld, RankState } from './world.ts';

/** A world that serves each request at once, and records it. */
const setUp = (options: HttpApiOptions = { isOutOfBrowsersReach: true }) => {
  const asked: unknown[] = [];
  const states: RankState[] = ['ready', 'ready'];
  const device = { kind: 'host', uuid: 'HOST-secret-0', name: 'host' };
  const lastError = { code: 'CE_FILE_NOT_FOUND', message: 'No file at "/secret"', hint: 'Correct it' } as const;
  const world: HttpWorld = {
    worldSize: 2,
    ranks: () => states.map((state, rank) => ({ rank, state, node: 0, restarts: 0, device, lastError })),
    checkpoints: () => [],
    register: async (...call) => void asked.push(call),
    unregister: async (...call) => void asked.push(call),
    gatherMetas: async (...call) => void asked.push(call),
    exportMetas: async () => new Uint8Array(),
    importMetas: async () => {},
    update: async (...call) => {
      asked.push(call);
      return {
        totalBytes: 8,
        tensorCount: 1,
        bucketCount: 1,
        deviceBytes: 8,
        removedFiles: [],
        durationsMs: { total: 1 },
      };
    },
  };
  const api = createHttpApi(world, options);
  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const type = { 'content-type': 'application/json' };
    return await api.fetch(
      new Request(`http://localhost${path}`, { method, headers: { ...type, ...headers }, ...content }),
    );
  };
  return { api, call, asked, states };
};

describe('bodies with unknown fields', () => {
  it.each([
    ['/v1/checkpoints/a/update', { rank: [0] }, 'rank'],
    ['/v1/checkpoints/a/update', { ranks: [], timeoutMs: 5 }, 'timeoutMs'],
    ['/v1/checkpoints/a/files', { files: ['/a'], keepFiles: true }, 'keepFiles'],
    ['/v1/checkpoints/a/files?wait=false', { files: ['/a'], Stream: true }, 'Stream'],
    ['/v1/checkpoints/a/update?waits=false', {}, 'waits'],
    ['/v1/checkpoints/a/gather-metas', { ranks: [0] }, 'body'],
  ])('are refused, and the field is named: POST %s %j', async (path, body, field) => {
    const { call, asked } = setUp();
    const answer = await call('POST', path, body);
    expect(answer.status).toBe(422);
    expect(await answer.json()).toMatchObject({ code: 'CE_REQUEST_INVALID', detail: expect.stringContaining(field) });
    expect(asked).toEqual([]);
  });

  it.each([
    ['/v1/checkpoints/a/files', { files: ['/a'] }],
    ['/v1/checkpoints/a/update', { ranks: [], update_url: null, inference_group_ranks: [], timeout: 300.0, uds: null }],
    ['/v1/checkpoints/a/update', undefined],
    ['/v1/checkpoints/a/gather-metas', undefined],
    ['/v1/checkpoints/a/gather-metas', {}],
  ])('do not include those of the Python tool: POST %s %j', async (path, body) => {
    const { call, asked } = setUp();
    expect((await call('POST', path, body)).status).toBe(200);
    expect(asked).toHaveLength(1);
  });

  it('are excluded by the OpenAPI document', async () => {
    const document = (await (await setUp().call('GET', '/openapi.json')).json()) as {
      components: { schemas: Record<string, { additionalProperties?: boolean }> };
    };
    for (const name of ['RegisterFiles', 'Update']) {
      expect(document.components.schemas[name]).toMatchObject({ additionalProperties: false });
    }
  });
});

describe('GET /v1/readyz', () => {
  it.each(['starting', 'unresponsive', 'lost'] as const)('answers 503 while a rank is %s', async (state) => {
    const { call, states } = setUp();
    states[1] = state;
    const answer = await call('GET', '/v1/readyz');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ ready: false, ranks: [{ state: 'ready' }, { state }] });
  });

  it('answers 503 after the server was asked to end', async () => {
    const { api, call } = setUp();
    expect((await call('GET', '/v1/readyz')).status).toBe(200);
    void api.drain();
    const answer = await call('GET', '/v1/readyz');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ ready: false, ending: true });
    expect((await call('GET', '/v1/healthz')).status).toBe(200);
  });

  it('shows no device and no error without the token', async () => {
    const { call } = setUp({ token: 'secret' });
    for (const headers of [{}, { authorization: 'Bearer wrong' }] as Record<string, string>[]) {
      const text = await (await call('GET', '/v1/readyz', undefined, headers)).text();
      expect(JSON.parse(text)).toEqual({ ready: true, ending: false, world_size: 2 });
    }
    const known = await (await call('GET', '/v1/readyz', undefined, { authorization: 'Bearer secret' })).text();
    expect(known).toContain('HOST-secret-0');
    expect(known).toContain('/secret');
  });
});

describe('requests that change state', () => {
  it('are logged with their client', async () => {
    const lines: [string, object][] = [];
    const keep = (level: string) => (fields: object) => void lines.push([level, fields]);
    const logger = { debug: keep('debug'), info: keep('info'), warn: keep('warn'), error: keep('error') };
    const { api } = setUp({ isOutOfBrowsersReach: true, logger });
    const env = { incoming: { socket: { remoteAddress: '10.0.0.7' } } };
    const ask = async (method: string) =>
      await api.fetch(new Request('http://localhost/v1/checkpoints/a', { method }), env);
    await ask('DELETE');
    await ask('GET');
    expect(lines).toEqual([
      ['info', expect.objectContaining({ method: 'DELETE', path: '/v1/checkpoints/a', client: '10.0.0.7' })],
      ['debug', expect.objectContaining({ method: 'GET' })],
    ]);
  });
});
