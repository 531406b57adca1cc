import { readFileSync } from 'node:fs';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import { createHttpApi, type HttpApiOptions } from './create-http-api.ts';
import type { AskOptions, CheckpointView, HttpWorld, InstanceAnswer, UpdateEvent, UpdateSummary } from './world.ts';

type Update = Parameters<HttpWorld['update']>;
type PlanEvent = Extract<UpdateEvent, { type: 'plan' }>;

/** Replaces ranks: it stores names, and the test controls its updates. */
class FakeWorld implements HttpWorld {
  readonly worldSize = 2;
  readonly names = new Set<string>();
  readonly running: { update: Update; end(): void; fail(error: Error): void; tell(event: UpdateEvent): void }[] = [];
  metas: Uint8Array | undefined;

  ranks() {
    return [0, 1].map((rank) => ({ rank, state: 'ready' as const, node: 0, restarts: rank * 2 }));
  }

  checkpoints(): CheckpointView[] {
    const nothing = { tensorCount: 0, sizeBytes: 0, warnings: [], ranks: [] };
    return [...this.names].map((name) => ({ name, state: 'registered' as const, hasMetas: false, ...nothing }));
  }

  async register(name: string): Promise<void> {
    if (this.names.has(name)) throw new CheckpointEngineError('CE_CHECKPOINT_EXISTS', 'taken', 'rename');
    this.names.add(name);
  }

  async unregister(name: string): Promise<void> {
    if (!this.names.delete(name)) throw new CheckpointEngineError('CE_CHECKPOINT_UNKNOWN', 'none', 'register');
  }

  async gatherMetas(): Promise<void> {}

  async exportMetas(): Promise<Uint8Array> {
    return new Uint8Array([0x80, 0xff]);
  }

  async importMetas(_: string, metas: Uint8Array): Promise<void> {
    this.metas = metas;
  }

  update(...update: Update): Promise<UpdateSummary> {
    const { signal, onEvent } = update[2];
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
      this.running.push({
        update,
        end: () =>
          resolve({
            totalBytes: 8,
            tensorCount: 1,
            bucketCount: 1,
            deviceBytes: 8,
            removedFiles: [],
            durationsMs: { stream: 1, total: 1 },
          }),
        fail: reject,
        tell: onEvent,
      });
    });
  }
}

const setUp = (options: HttpApiOptions = { isOutOfBrowsersReach: true }, ofWorld: Partial<HttpWorld> = {}) => {
  const world = Object.assign(new FakeWorld(), ofWorld);
  const api = createHttpApi(world, options);
  const call = async (method: string, path: string, body?: unknown, init: RequestInit = {}): Promise<Response> =>
    await api.fetch(
      new Request(`http://localhost${path}`, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
        ...init,
      }),
    );
  const begun = (count: number) => expect.poll(() => world.running.length).toBe(count);
  return { world, api, call, begun };
};
const UPDATE = '/v1/checkpoints/a/update';
const planOf = (rank: number): UpdateEvent => ({
  ...{ type: 'plan', rank, bucketBytes: 8, bucketCount: 2, ringSlots: 2, stagingSlots: 0, deviceBytes: 16 },
  ...{
    totalBytes: 16,
    stageBytes: { read: 0, h2d: 16, broadcast: 0, reload: 16, pull: 0 },
    reason: '',
    ...{ method: 'buckets', methodReason: '', neededBytes: 16 },
    atMs: 0,
  },
});
const stateOf = async (response: Response) => (await response.json()) as { id: string; state: string; error?: object };

describe('routes of the Python tool', () => {
  it('answer 200 with an empty body', async () => {
    const { call, world, begun } = setUp();
    const update = call('POST', UPDATE, { ranks: [], update_url: 'http://h/x', inference_group_ranks: [], timeout: 5 });
    await begun(1);
    world.running[0]!.end();
    const answers = [
      await call('POST', '/v1/checkpoints/a/files', { files: ['/a'] }),
      await call('POST', '/v1/checkpoints/a/gather-metas'),
      await update,
      await call('DELETE', '/v1/checkpoints/a'),
      await call('GET', '/v1/healthz'),
    ];
    for (const answer of answers) expect([answer.status, await answer.text()]).toEqual([200, '']);
    expect(world.running[0]!.update[1]).toMatchObject({ ranks: [], updateUrl: 'http://h/x', timeoutMs: 5000 });
  });

  it('use the defaults if there is no body', async () => {
    const { call, world, begun } = setUp();
    void call('POST', UPDATE);
    await begun(1);
    expect(world.running[0]!.update[1]).toMatchObject({ ranks: [], inferenceGroupRanks: [], timeoutMs: 300_000 });
  });
});

describe('problems', () => {
  it.each([
    ['GET', '/nowhere', undefined, {}, 404, 'CE_REQUEST_INVALID'],
    ['DELETE', '/v1/checkpoints/a', undefined, {}, 404, 'CE_CHECKPOINT_UNKNOWN'],
    ['GET', '/v1/updates/x', undefined, {}, 404, 'CE_UPDATE_UNKNOWN'],
    ['PUT', '/v1/checkpoints', undefined, {}, 405, 'CE_REQUEST_INVALID'],
    ['POST', '/v1/checkpoints/a/files', { files: [] }, {}, 422, 'CE_REQUEST_INVALID'],
    ['POST', '/v1/checkpoints/a/files', { files: ['\u0000'] }, {}, 422, 'CE_REQUEST_INVALID'],
    ['POST', UPDATE, { timeout: -1 }, {}, 422, 'CE_REQUEST_INVALID'],
    ['POST', UPDATE, { update_url: 'file:///etc/passwd' }, {}, 422, 'CE_REQUEST_INVALID'],
    [
      'POST',
      '/v1/checkpoints/a/files',
      undefined,
      { body: '{', headers: { 'content-type': 'application/json' } },
      400,
      'CE_REQUEST_INVALID',
    ],
    [
      'POST',
      '/v1/checkpoints/a/metas',
      undefined,
      { body: 'x', headers: { 'content-type': 'text/plain' } },
      415,
      'CE_REQUEST_INVALID',
    ],
    [
      'POST',
      '/v1/checkpoints/a/files',
      undefined,
      { body: 'x'.repeat(9e6), headers: { 'content-type': 'application/json' } },
      413,
      'CE_REQUEST_INVALID',
    ],
  ] as const)('%s %s %j is one of %s', async (method, path, body, init, status, code) => {
    const answer = await setUp().call(method, path, body, init);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(await answer.json()).toMatchObject({ status, code, detail: expect.any(String), hint: expect.any(String) });
    expect(answer.status).toBe(status);
  });

  it.each([undefined, 'text/plain'])('say which type of body is expected instead of %s', async (type) => {
    const headers: Record<string, string> = type === undefined ? {} : { 'content-type': type };
    const body = new TextEncoder().encode('{"files":["/m"]}');
    const answer = await setUp().call('POST', '/v1/checkpoints/a/files', undefined, { body, headers });
    expect(answer.status).toBe(415);
    expect(await answer.json()).toMatchObject({
      code: 'CE_REQUEST_INVALID',
      hint: 'Send Content-Type: application/json',
    });
  });

  it('contain rank, file and tensor, and no stack', async () => {
    const { call, world, begun } = setUp();
    const update = call('POST', UPDATE);
    await begun(1);
    const details = { rank: 1, file: '/f', tensor: 't', retryable: true };
    world.running[0]!.fail(new CheckpointEngineError('CE_FILE_CHANGED', 'changed', 'register', details));
    expect(await (await update).json()).toMatchObject({ status: 409, code: 'CE_FILE_CHANGED', ...details });
    const broken = call('POST', UPDATE);
    await begun(2);
    world.running[1]!.fail(new TypeError('oops'));
    const text = await (await broken).text();
    expect(JSON.parse(text)).toMatchObject({ status: 500, code: 'CE_INTERNAL' });
    expect(text).not.toContain('.ts:');
  });
});

describe('updates', () => {
  it('run one at a time, in their order', async () => {
    const { call, world, begun } = setUp();
    const first = call('POST', UPDATE);
    const second = call('POST', '/v1/checkpoints/b/update');
    await begun(1);
    expect((await call('POST', `${UPDATE}?busy=refuse`)).status).toBe(409);
    world.running[0]!.end();
    expect((await first).status).toBe(200);
    await begun(2);
    expect(world.running[1]!.update[0]).toBe('b');
    world.running[1]!.end();
    expect((await second).status).toBe(200);
  });

  it.each([
    [`${UPDATE}?wait=false`, {}],
    [UPDATE, { prefer: 'respond-async' }],
  ])('can be followed by their id if the client does not wait: %s %j', async (path, headers) => {
    const { call, world, begun } = setUp();
    const accepted = await call('POST', path, undefined, { headers });
    expect(accepted.status).toBe(202);
    const { id } = await stateOf(accepted);
    expect(accepted.headers.get('location')).toBe(`/v1/updates/${id}`);
    await begun(1);
    const events = (await call('GET', `/v1/updates/${id}/events`)).text();
    const about = { rank: 0, atMs: 1000 };
    // A rank that is only read from does not delay others.
    world.running[0]!.tell({ type: 'phase', phase: 'release', rank: 1, atMs: 1000 });
    world.running[0]!.tell(planOf(0));
    world.running[0]!.tell({ type: 'phase', phase: 'stream', ...about });
    world.running[0]!.tell({ type: 'bucket-end', stage: 'reload', bucket: 0, sizeBytes: 8, rank: 0, atMs: 2000 });
    expect(await (await call('GET', `/v1/updates/${id}`)).json()).toMatchObject({
      state: 'running',
      stage: 'stream',
      done_bytes: 8,
      rate_gb_per_s: 8e-9,
      ranks: [
        { rank: 0, reload_bytes: 8, reloaded_buckets: 1 },
        { rank: 1, reload_bytes: 0 },
      ],
    });
    world.running[0]!.end();
    const told = (await events).split('\n\n').filter(Boolean);
    expect(told.at(-1)).toMatch(/^event: end\ndata: .*"state":"succeeded"/);
    expect(told[0]).toMatch(/^event: progress\n/);
  });

  it('end when they are cancelled, whether they wait or run, and the next one runs', async () => {
    const { call, world, begun } = setUp();
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.push((await stateOf(await call('POST', `${UPDATE}?wait=false`))).id);
    await begun(1);
    expect(await stateOf(await call('DELETE', `/v1/updates/${ids[1]}`))).toMatchObject({ state: 'cancelled' });
    expect(await stateOf(await call('DELETE', `/v1/updates/${ids[0]}`))).toMatchObject({
      state: 'cancelled',
      error: { code: 'CE_ABORTED' },
    });
    await begun(2);
    world.running[1]!.end();
    await expect.poll(async () => (await stateOf(await call('GET', `/v1/updates/${ids[2]}`))).state).toBe('succeeded');
    expect((await call('DELETE', `/v1/updates/${ids[2]}`)).status).toBe(409);
  });

  it('are withdrawn if their client disconnects before their turn, and continue if it disconnects later', async () => {
    const { call, world, begun } = setUp();
    const [first, second] = [new AbortController(), new AbortController()];
    void call('POST', UPDATE, undefined, { signal: first.signal });
    void call('POST', UPDATE, undefined, { signal: second.signal });
    await begun(1);
    first.abort();
    second.abort();
    const states = async () =>
      ((await (await call('GET', '/v1/updates')).json()) as { updates: { state: string }[] }).updates.map(
        (u) => u.state,
      );
    await expect.poll(states).toEqual(['cancelled', 'running']);
    world.running[0]!.end();
    await expect.poll(states).toEqual(['cancelled', 'succeeded']);
  });

  it('do not wait for a client that does not read its events', async () => {
    const { call, world, begun } = setUp();
    const update = call('POST', UPDATE);
    await begun(1);
    const { updates } = (await (await call('GET', '/v1/updates')).json()) as { updates: { id: string }[] };
    const unread = await call('GET', `/v1/updates/${updates[0]!.id}/events`);
    for (let i = 0; i < 10_000; i++)
      world.running[0]!.tell({ type: 'bucket-end', stage: 'reload', bucket: i, sizeBytes: 1, rank: 0, atMs: i });
    world.running[0]!.end();
    expect((await update).status).toBe(200);
    await unread.body?.cancel();
  });

  it('are refused after the server begins to end, which waits for the running one', async () => {
    const { api, call, world, begun } = setUp();
    const first = call('POST', UPDATE);
    const second = call('POST', UPDATE);
    await begun(1);
    let isDrained = false;
    const drained = api.drain().then(() => {
      isDrained = true;
    });
    expect(await (await second).json()).toMatchObject({ status: 503, code: 'CE_CLOSED' });
    expect((await call('POST', UPDATE)).status).toBe(503);
    expect(isDrained).toBe(false);
    world.running[0]!.end();
    await drained;
    expect((await first).status).toBe(200);
  });

  it('have the requested method, and report the method that the ranks chose and its reason', async () => {
    const { call, world, begun } = setUp();
    const accepted = await call('POST', `${UPDATE}?wait=false`, { method: 'pull' });
    const { id } = await stateOf(accepted);
    await begun(1);
    expect(world.running[0]!.update[1]).toMatchObject({ method: 'pull' });
    expect(await (await call('GET', `/v1/updates/${id}`)).json()).not.toHaveProperty('method');
    const pulled = { method: 'pull', methodReason: 'all can', neededBytes: 4 } as const;
    const stageBytes = { read: 0, h2d: 0, broadcast: 0, reload: 0, pull: 4 };
    world.running[0]!.tell({ ...(planOf(0) as PlanEvent), ...pulled, stageBytes });
    world.running[0]!.tell({ type: 'bucket-end', stage: 'pull', bucket: 0, sizeBytes: 2, rank: 0, atMs: 10 });
    expect(await (await call('GET', `/v1/updates/${id}`)).json()).toMatchObject({
      ...{ requested_method: 'pull', method: 'pull', method_reason: 'all can', done_bytes: 8, total_bytes: 16 },
      ranks: [{ rank: 0, needed_bytes: 4, pull_bytes: 2, reload_bytes: 0 }],
    });
    world.running[0]!.end();
  });

  it.each(['push', 'PULL', '', 1, ['pull']])('refuse the method %j', async (method) => {
    const refused = await setUp().call('POST', UPDATE, { method });
    expect(refused.status).toBe(422);
    expect(await refused.json()).toMatchObject({ detail: expect.stringContaining('method') });
  });

  it('record which version each instance has', async () => {
    const { call, world, begun } = setUp();
    const engine = { type: 'engine', rank: 0, groupIndex: 0, endpoint: 'http://e', atMs: 0 } as const;
    const instances = async () => (await (await call('GET', '/v1/instances')).json()) as { instances: object[] };
    const first = call('POST', UPDATE, { weight_version: 'v1' });
    await begun(1);
    world.running[0]!.tell({ ...engine, state: 'asked' });
    const unknown = { endpoint: 'http://e', state: 'unknown', weight_version: 'unknown' };
    expect((await instances()).instances).toEqual([{ ...unknown, reason: expect.stringContaining('in progress') }]);
    world.running[0]!.tell({ ...engine, state: 'acknowledged' });
    // Other instances may fail yet.
    expect((await instances()).instances).toMatchObject([unknown]);
    world.running[0]!.end();
    await first;
    const current = { endpoint: 'http://e', state: 'current', checkpoint: 'a', weight_version: 'v1' };
    expect((await instances()).instances).toMatchObject([current]);
    const second = call('POST', UPDATE, { weight_version: 'v2' });
    await begun(2);
    world.running[1]!.tell({ ...engine, state: 'asked' });
    world.running[1]!.fail(new CheckpointEngineError('CE_ENGINE_FAILED', 'no', 'look'));
    expect((await second).status).toBe(502);
    const { checkpoint, weight_version } = current;
    expect((await instances()).instances).toMatchObject([
      {
        ...unknown,
        reason: expect.stringMatching(/^Update \S+ ended before .*: no$/),
        last: { checkpoint, weight_version },
      },
    ]);
    expect((await instances()).instances[0]).not.toHaveProperty('checkpoint');
  });

  it('make all instances that they asked unknown if one of them fails, and no others', async () => {
    const { call, world, begun } = setUp();
    const ask = (run: number, groupIndex: number, state: 'asked' | 'acknowledged' = 'asked') =>
      world.running[run]!.tell({
        type: 'engine',
        rank: groupIndex,
        groupIndex,
        endpoint: `e${groupIndex}`,
        atMs: 0,
        state,
      });
    const versions = async () => {
      const { instances } = (await (await call('GET', '/v1/instances')).json()) as {
        instances: { endpoint: string; weight_version: string }[];
      };
      return Object.fromEntries(instances.map(({ endpoint, weight_version }) => [endpoint, weight_version]));
    };
    const first = call('POST', UPDATE, { weight_version: 'v1' });
    await begun(1);
    for (const group of [0, 1, 2]) ask(0, group);
    world.running[0]!.end();
    await first;
    expect(await versions()).toEqual({ e0: 'v1', e1: 'v1', e2: 'v1' });

    const refused = call('POST', UPDATE, { weight_version: 'v2' });
    await begun(2);
    world.running[1]!.fail(new CheckpointEngineError('CE_PLAN_MISMATCH', 'no engine was asked', 'look'));
    expect((await refused).status).not.toBe(200);
    expect(await versions()).toEqual({ e0: 'v1', e1: 'v1', e2: 'v1' });

    const failing = call('POST', UPDATE, { weight_version: 'v2' });
    await begun(3);
    ask(2, 0);
    ask(2, 1);
    ask(2, 0, 'acknowledged');
    world.running[2]!.fail(new CheckpointEngineError('CE_WORKER_LOST', 'the worker of rank 1 died', 'look'));
    expect((await failing).status).toBe(502);
    expect(await versions()).toEqual({ e0: 'unknown', e1: 'unknown', e2: 'v1' });

    const last = call('POST', UPDATE, { weight_version: 'v3' });
    await begun(4);
    for (const group of [0, 1, 2]) ask(3, group);
    world.running[3]!.end();
    await last;
    expect(await versions()).toEqual({ e0: 'v3', e1: 'v3', e2: 'v3' });
  });

  it('show the version of each engine before and after', async () => {
    const { call, world, begun } = setUp();
    const engine = { type: 'engine', rank: 0, endpoint: 'http://e', atMs: 0, state: 'asked' } as const;
    const status = async () => {
      const { updates } = (await (await call('GET', '/v1/updates')).json()) as { updates: object[] };
      return updates[0] as { weight_version?: string; engines: object[] };
    };
    const first = call('POST', UPDATE, { weight_version: 'v1' });
    await begun(1);
    world.running[0]!.tell({ ...engine, groupIndex: 0 });
    expect(await status()).toMatchObject({
      engines: [{ weight_version_before: 'unknown', weight_version: 'unknown' }],
    });
    world.running[0]!.end();
    await first;
    expect(await status()).toMatchObject({ engines: [{ weight_version_before: 'unknown', weight_version: 'v1' }] });
    const second = call('POST', UPDATE);
    await begun(2);
    world.running[1]!.tell({ ...engine, groupIndex: 0 });
    world.running[1]!.tell({ ...engine, groupIndex: 1, endpoint: 'http://f' });
    // Its workers have an unknown version, because another server has updated it.
    world.running[1]!.tell({ type: 'version', rank: 1, groupIndex: 1, before: 'v9', after: 'x', atMs: 1 });
    world.running[1]!.end();
    await second;
    const { weight_version: made, engines } = await status();
    expect(made).toMatch(/^update-/);
    expect(engines).toMatchObject([
      { endpoint: 'http://e', weight_version_before: 'v1', weight_version: made },
      { endpoint: 'http://f', weight_version_before: 'v9', weight_version: made },
    ]);
  });

  it.each(['', 'a b', 'unknown', 'x'.repeat(129), 'v\n1'])(
    'refuse %j as a version, before anything moves',
    async (text) => {
      const { call, world } = setUp();
      const refused = await call('POST', UPDATE, { weight_version: text });
      expect(refused.status).toBe(422);
      expect(await refused.text()).toMatch(/weight_version/);
      expect((await call('POST', '/v1/checkpoints/b/files', { files: ['/f'], weight_version: text })).status).toBe(422);
      expect(world.running).toEqual([]);
    },
  );

  it('learn the version from instances that report it, unless an update overtakes the answer', async () => {
    const answers: InstanceAnswer[] = [{ endpoint: 'e0', weightVersion: 'v1', checkpoint: 'a' }, { endpoint: 'e1' }];
    let answer: Promise<readonly InstanceAnswer[]> = Promise.resolve(answers);
    let isWanted: AskOptions['isWanted'] = () => false;
    const askInstances = (options: AskOptions): Promise<readonly InstanceAnswer[]> => {
      ({ isWanted } = options);
      return answer;
    };
    const ofWorld = { instances: ['e0', 'e1', 'e2'], askInstances };
    const { call, world, begun } = setUp({ isOutOfBrowsersReach: true }, ofWorld);
    const instances = async (query = '') =>
      ((await (await call('GET', `/v1/instances${query}`)).json()) as { instances: object[] }).instances;
    const unknown = { state: 'unknown', weight_version: 'unknown' };
    // They were asked when the server started.
    await expect.poll(() => instances()).toHaveLength(3);
    expect(await instances('?ask=true')).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ endpoint: 'e0', state: 'current', weight_version: 'v1', checkpoint: 'a' }),
        expect.objectContaining({ endpoint: 'e1', ...unknown }),
        expect.objectContaining({ endpoint: 'e2', ...unknown }),
      ]),
    );
    answer = Promise.resolve([{ endpoint: 'e0', weightVersion: 'unknown' }]);
    expect(await instances()).toContainEqual(expect.objectContaining({ endpoint: 'e0', weight_version: 'v1' }));
    expect(await instances('?ask=true')).toContainEqual(
      expect.objectContaining({ endpoint: 'e0', ...unknown, reason: expect.stringContaining('restarted') }),
    );
    answer = Promise.reject(new CheckpointEngineError('CE_RANK_LOST', 'gone', 'wait'));
    expect((await call('GET', '/v1/instances?ask=true')).status).toBe(200);
    expect((await call('GET', '/v1/instances?ask=maybe')).status).toBe(422);

    let tell!: (answers: readonly InstanceAnswer[]) => void;
    answer = new Promise((resolve) => {
      tell = resolve;
    });
    const asked = instances('?ask=true');
    await expect.poll(() => isWanted()).toBe(true);
    const update = call('POST', UPDATE, { weight_version: 'v2' });
    await begun(1);
    expect(isWanted()).toBe(false);
    world.running[0]!.tell({ type: 'engine', state: 'asked', rank: 0, groupIndex: 0, endpoint: 'e0', atMs: 0 });
    tell([{ endpoint: 'e0', weightVersion: 'v1' }]);
    expect(await asked).toContainEqual(expect.objectContaining({ endpoint: 'e0', ...unknown }));
    world.running[0]!.end();
    await update;
    expect(await instances()).toContainEqual(expect.objectContaining({ endpoint: 'e0', weight_version: 'v2' }));
  });

  it('include the instances of the server from its start, and at most a thousand that clients name', async () => {
    const { call, world, begun } = setUp({ isOutOfBrowsersReach: true }, { instances: ['http://default:1'] });
    const instances = async () =>
      ((await (await call('GET', '/v1/instances')).json()) as { instances: { endpoint: string }[] }).instances;
    expect(await instances()).toMatchObject([
      { endpoint: 'http://default:1', state: 'unknown', weight_version: 'unknown' },
    ]);
    const update = call('POST', UPDATE, { weight_version: 'v1' });
    await begun(1);
    for (let groupIndex = 0; groupIndex < 1_500; groupIndex++) {
      const endpoint = `http://h:${groupIndex}`;
      world.running[0]!.tell({ type: 'engine', state: 'asked', rank: 0, groupIndex, endpoint, atMs: 0 });
    }
    world.running[0]!.end();
    await update;
    const all = await instances();
    expect(all).toHaveLength(1_000);
    expect(all.map(({ endpoint }) => endpoint)).toEqual(expect.arrayContaining(['http://default:1', 'http://h:1499']));
  });
});

describe('metas', () => {
  it('are sent and received as bytes', async () => {
    const { call, world } = setUp();
    const got = await call('GET', '/v1/checkpoints/a/metas');
    expect(got.headers.get('content-type')).toBe('application/msgpack');
    const bytes = new Uint8Array(await got.arrayBuffer());
    const headers = { 'content-type': 'application/octet-stream' };
    expect((await call('POST', '/v1/checkpoints/b/metas', undefined, { body: bytes, headers })).status).toBe(200);
    expect(world.metas).toEqual(new Uint8Array([0x80, 0xff]));
  });
});

describe('guards', () => {
  const bearer = (token: string): RequestInit => ({ headers: { authorization: `Bearer ${token}` } });

  it('require the token for all routes but health', async () => {
    const { call } = setUp({ token: 'secret' });
    expect((await call('GET', '/v1/healthz')).status).toBe(200);
    expect((await call('GET', '/v1/readyz')).status).toBe(200);
    for (const init of [{}, bearer('secre'), bearer('secret1')]) {
      const refused = await call('GET', '/v1/checkpoints', undefined, init);
      expect(refused.status).toBe(401);
      expect(refused.headers.get('www-authenticate')).toBe('Bearer');
    }
    expect((await call('GET', '/v1/checkpoints', undefined, bearer('secret'))).status).toBe(200);
  });

  it.each([
    [{ host: 'localhost:19730' }, 200],
    [{ host: '127.0.0.1' }, 200],
    [{ host: '[::1]:80' }, 200],
    [{ host: 'rebound.example' }, 421],
    [{ host: '127.0.0.1.example' }, 421],
    [{ host: 'localhost', origin: 'http://localhost' }, 200],
    [{ host: 'localhost', origin: 'https://page.example' }, 403],
    [{ host: 'localhost', origin: 'null' }, 403],
  ])('refuse web pages if there is no token: %j', async (headers, status) => {
    const answer = await setUp({}).call('GET', '/v1/checkpoints', undefined, { headers });
    expect(answer.status).toBe(status);
  });
});

describe('the OpenAPI document', () => {
  it('names every route, each with its own id', async () => {
    const document = (await (
      await setUp({ token: 'x' }).call('GET', '/openapi.json', undefined, { headers: { authorization: 'Bearer x' } })
    ).json()) as {
      openapi: string;
      paths: Record<string, Record<string, { operationId: string; responses: object }>>;
      components: { securitySchemes: object };
    };
    expect(document.openapi).toBe('3.1.0');
    const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { operationId }]) => [`${method} ${path}`, operationId]),
    );
    expect(routes.map(([route]) => route).sort()).toEqual([
      'delete /v1/checkpoints/{name}',
      'delete /v1/updates/{id}',
      'get /metrics',
      'get /v1/checkpoints',
      'get /v1/checkpoints/{name}',
      'get /v1/checkpoints/{name}/metas',
      'get /v1/healthz',
      'get /v1/instances',
      'get /v1/readyz',
      'get /v1/updates',
      'get /v1/updates/{id}',
      'get /v1/updates/{id}/events',
      'post /v1/checkpoints/{name}/files',
      'post /v1/checkpoints/{name}/gather-metas',
      'post /v1/checkpoints/{name}/metas',
      'post /v1/checkpoints/{name}/update',
      'post /v1/checkpoints/{name}/verify',
    ]);
    expect(new Set(routes.map(([, id]) => id)).size).toBe(routes.length);
    expect(document.components.securitySchemes).toHaveProperty('token');
  });
});

describe('metrics', () => {
  it('count updates and requests', async () => {
    const { call, world, begun } = setUp();
    const update = call('POST', UPDATE);
    await begun(1);
    world.running[0]!.end();
    await update;
    const text = await (await call('GET', '/metrics')).text();
    expect(text).toContain('checkpoint_engine_updates_total{result="succeeded"} 1');
    expect(text).toContain('checkpoint_engine_update_bytes_total 8');
    expect(text).toContain('checkpoint_engine_ranks_ready 2');
    expect(text).toMatch(
      /http_request_seconds_count\{method="POST",route="\/v1\/checkpoints\/:name\/update",status="200"\} 1/,
    );
  });

  it('report the version of the server, if it is given', async () => {
    const text = async (options?: HttpApiOptions) => await (await setUp(options).call('GET', '/metrics')).text();
    expect(await text()).not.toContain('checkpoint_engine_build_info{');
    expect(await text({ version: '1.2.3', isOutOfBrowsersReach: true })).toContain('build_info{version="1.2.3"} 1');
  });

  it('report stages by rank, phases, errors by code, restarts and the version of each instance', async () => {
    const { call, world, begun } = setUp();
    const update = call('POST', UPDATE, { weight_version: 'step-7' });
    await begun(1);
    const [first] = world.running;
    first!.tell(planOf(1));
    const bucket = { rank: 1, stage: 'h2d', bucket: 0, sizeBytes: 16 } as const;
    first!.tell({ ...bucket, type: 'bucket-start', atMs: 0 });
    first!.tell({ ...bucket, type: 'bucket-end', atMs: 1 });
    first!.tell({ ...bucket, type: 'bucket-end', atMs: 250 });
    const engine = { type: 'engine', rank: 0, groupIndex: 0, endpoint: 'http://h:1', atMs: 2 } as const;
    first!.tell({ ...engine, state: 'asked' });
    first!.tell({ ...engine, state: 'acknowledged' });
    first!.end();
    await update;
    const text = async () => await (await call('GET', '/metrics')).text();
    const version = 'checkpoint_engine_instance_weights{endpoint="http://h:1",checkpoint="a",weight_version="step-7"}';
    expect(await text()).toContain('checkpoint_engine_stage_bytes_total{stage="h2d",rank="1"} 32');
    expect(await text()).toContain('checkpoint_engine_stage_seconds_total{stage="h2d",rank="1"} 0.25');
    expect(await text()).toContain('checkpoint_engine_update_phase_seconds_count{phase="stream"} 1');
    expect(await text()).not.toContain('phase="total"');
    expect(await text()).toContain(`${version} 1`);
    expect(await text()).toContain('checkpoint_engine_rank_restarts_total 2');

    const failing = call('POST', UPDATE);
    await begun(2);
    world.running[1]!.tell({ ...engine, state: 'asked' });
    world.running[1]!.fail(new CheckpointEngineError('CE_WORKER_FAILED', 'broke', 'look'));
    await failing;
    expect(await text()).toContain('checkpoint_engine_update_errors_total{code="CE_WORKER_FAILED"} 1');
    const unknown = 'checkpoint_engine_instance_weights{endpoint="http://h:1",checkpoint="",weight_version="unknown"}';
    expect(await text()).toContain(`${unknown} 0`);
    expect(await text()).not.toContain(version);
    expect((await text()).match(/^checkpoint_engine_instance_weights\{/gm)).toHaveLength(1);
    expect(await text()).toContain('checkpoint_engine_rank_restarts_total 2');
  });

  it.each([
    ['the page that describes them', '../../../docs/metrics.md'],
    ['the dashboard', '../../../deploy/grafana/checkpoint-engine.json'],
  ])('have the names that %s uses', async (_, file) => {
    const { call } = setUp();
    const text = await (await call('GET', '/metrics')).text();
    const known = new Set([...text.matchAll(/^# TYPE (checkpoint_engine_\w+)/gm)].map(([, name]) => name));
    const content = readFileSync(new URL(file, import.meta.url), 'utf8');
    const used = new Set(
      [...content.matchAll(/checkpoint_engine_\w+/g)].map(([name]) => name.replace(/_(bucket|sum|count)$/, '')),
    );
    expect([...used].filter((name) => !known.has(name))).toEqual([]);
    expect([...known].filter((name) => file.endsWith('.md') && !used.has(name!))).toEqual([]);
  });
});
