import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { CheckpointEngineError, RankLostError, type Store, silentLogger } from '@checkpoint-engine/interface';
import { afterEach, describe, expect, test } from 'vitest';
import { type ConnectStoreOptions, connectStore } from './connect-store.ts';
import { localStore } from './local-store.ts';
import { openStore } from './open-store.ts';
import { ServerLink } from './server-link.ts';
import { type StoreServer, type StoreServerOptions, startStoreServer } from './store-server.ts';
import { deriveTokenKeys } from './token-keys.ts';

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);
const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function server(worldSize: number, options: Partial<StoreServerOptions> = {}): Promise<StoreServer> {
  const started = await startStoreServer({ port: 0, worldSize, ...options });
  open.push(started);
  return started;
}

async function join(
  { address }: StoreServer,
  rank: number,
  worldSize: number,
  options: Partial<ConnectStoreOptions> = {},
): Promise<Store> {
  const base = { address, rank, worldSize, timeoutMs: 5_000 };
  const store = await connectStore({ ...base, ...options } as ConnectStoreOptions);
  open.push(store);
  return store;
}

async function world(worldSize: number, options: Partial<StoreServerOptions> = {}): Promise<Store[]> {
  const started = await server(worldSize, options);
  const token = options.token;
  return Promise.all(Array.from({ length: worldSize }, (_, rank) => join(started, rank, worldSize, { token })));
}

const fired = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) =>
    signal.aborted ? resolve(signal.reason) : signal.addEventListener('abort', () => resolve(signal.reason)),
  );

describe('values, counters and meetings', () => {
  test('set, get, wait and add are visible to every rank', async () => {
    const [a, b] = (await world(2)) as [Store, Store];
    expect(await a.get('k')).toBeUndefined();
    const waiting = b.wait('k');
    await a.set('k', bytes('v'));
    expect(text(await waiting)).toBe('v');
    expect(text(await b.get('k'))).toBe('v');
    await a.set('empty', new Uint8Array(0));
    expect(await b.get('empty')).toEqual(new Uint8Array(0));
    expect(await a.add('n', 2)).toBe(2);
    expect(await b.add('n', -5)).toBe(-3);
  });

  test('allGather returns the values to every member in member order', async () => {
    const stores = await world(4);
    const epochs = stores.filter(({ rank }) => rank !== 2).map((store) => store.epoch('g', [3, 0, 1]));
    expect(epochs[0]!.members).toEqual([0, 1, 3]);
    const all = await Promise.all(epochs.map((epoch) => epoch.allGather('x', bytes(`r${epoch.rank}`))));
    for (const values of all) expect(values.map(text)).toEqual(['r0', 'r1', 'r3']);
  });

  test('allGather omits values of ranks that do not contribute, and ranks that do not receive', async () => {
    const stores = await world(3);
    const name = (store: Store): Uint8Array => bytes(`r${store.rank}`);
    const atOne = await Promise.all(stores.map((store) => store.allGather('x', name(store), { to: [1] })));
    expect(atOne.map((values) => values.map(text))).toEqual([[], ['r0', 'r1', 'r2'], []]);
    const ofTwo = await Promise.all(stores.map((store) => store.allGather('x', name(store), { from: [0, 2] })));
    for (const values of ofTwo) expect(values.map(text)).toEqual(['r0', 'r2']);
    await expect(stores[0]!.allGather('x', bytes(''), { to: [3] })).rejects.toThrow(RangeError);
  });

  test('a barrier name can be used repeatedly, and a fast rank is never ahead by more than one', async () => {
    const stores = await world(3);
    let done = 0;
    await Promise.all(
      stores.map(async (store) => {
        for (let round = 0; round < 50; round++) {
          await store.barrier('again');
          done += 1;
          expect(done).toBeGreaterThan(3 * round - 3);
        }
      }),
    );
    expect(done).toBe(150);
  });

  test('a 20 MB value and a mix of sizes arrive byte for byte', async () => {
    const [a, b] = (await world(2)) as [Store, Store];
    const big = randomBytes(20_000_003);
    await a.set('big', big);
    expect(Buffer.compare((await b.get('big'))!, big)).toBe(0);
    const mine = [new Uint8Array(0), big.subarray(0, 3_333_333)];
    const gathered = await Promise.all([a.allGather('mix', mine[0]!), b.allGather('mix', mine[1]!)]);
    for (const values of gathered) {
      expect(values.map((value, i) => Buffer.compare(value, mine[i]!))).toEqual([0, 0]);
    }
  });

  test('misuse is refused before anything is sent', async () => {
    const [a] = (await world(1)) as [Store];
    await expect(a.set('k', 'text' as unknown as Uint8Array)).rejects.toThrow(TypeError);
    await expect(a.get(7 as unknown as string)).rejects.toThrow(TypeError);
    await expect(a.add('k', 0.5)).rejects.toThrow(RangeError);
    await expect(a.get('k', { timeoutMs: -1 })).rejects.toThrow(RangeError);
    expect(() => a.epoch('')).toThrow(TypeError);
    expect(() => a.epoch('e', [0, 1])).toThrow(RangeError);
  });
});

describe('time-outs and aborts', () => {
  test('a barrier that is not reached names itself and the missing ranks', async () => {
    const started = await server(4);
    const stores = await Promise.all([0, 1, 2].map((rank) => join(started, rank, 4)));
    const [a, b] = stores.map((store) => store.epoch('u1')) as [Store, Store];
    const second = b.barrier('ready', { timeoutMs: 2_000 });
    second.catch(() => {});
    await expect(a.barrier('ready', { timeoutMs: 60 })).rejects.toMatchObject({
      code: 'CE_TIMEOUT',
      message: 'Barrier "ready" of epoch "u1" was not reached by ranks 2, 3 within 60 ms (not in the world: rank 3)',
    });
    await expect(a.wait('k', { timeoutMs: 30 })).rejects.toMatchObject({
      code: 'CE_TIMEOUT',
      message: expect.stringContaining('Key "k" of epoch "u1" was not set within 30 ms'),
    });
  });

  test('a call that timed out has no effect', async () => {
    const [a, b] = (await world(2)) as [Store, Store];
    await expect(a.barrier('x', { timeoutMs: 30 })).rejects.toMatchObject({ code: 'CE_TIMEOUT' });
    let through = false;
    const late = b.barrier('x').then(() => {
      through = true;
    });
    await b.add('tick', 1);
    expect(through).toBe(false);
    await a.barrier('x');
    await late;
  });

  test('an AbortSignal ends a call with its reason, and leaves no listener', async () => {
    const [a] = (await world(2)) as [Store];
    const controller = new AbortController();
    const { signal } = controller;
    const listeners = (): number => getEventListeners(signal, 'abort').length;
    await a.add('n', 1, { signal });
    expect(listeners()).toBe(0);
    const pending = a.barrier('x', { signal });
    expect(listeners()).toBe(1);
    controller.abort();
    await expect(pending).rejects.toMatchObject({ code: 'CE_ABORTED' });
    expect(listeners()).toBe(0);
    await expect(a.get('k', { signal })).rejects.toMatchObject({ code: 'CE_ABORTED' });
  });
});

describe('epochs', () => {
  test('barriers of a second update never meet those of the first, which a rank left unfinished', async () => {
    const [a, b] = (await world(2)) as [Store, Store];
    const first = [a.epoch('update-1'), b.epoch('update-1')] as const;
    const stale = first[0].barrier('ready', { timeoutMs: 5_000 });
    await first[1].set('k', bytes('old'));
    const second = [a.epoch('update-2'), b.epoch('update-2')] as const;
    expect(await second[0].get('k')).toBeUndefined();
    let met = false;
    const ready = second[1].barrier('ready').then(() => {
      met = true;
    });
    await b.add('tick', 1);
    expect(met).toBe(false);
    await second[0].barrier('ready');
    await ready;
    await first[1].barrier('ready');
    await stale;
  });

  test('abort reaches every member with code, message and rank, and the first error wins', async () => {
    const [a, b, c] = (await world(3)) as [Store, Store, Store];
    const [ea, eb, ec] = [a, b, c].map((store) => store.epoch('u')) as [Store, Store, Store];
    const waiting = eb.barrier('x');
    waiting.catch(() => {});
    const error = new CheckpointEngineError('CE_DEVICE_FAILED', 'Copy failed', 'Look at the driver', { status: 700 });
    await ea.abort(error);
    await ec.abort(new Error('later'));
    const seen = { code: 'CE_DEVICE_FAILED', message: 'Copy failed', hint: 'Look at the driver', rank: 0, status: 700 };
    await expect(waiting).rejects.toMatchObject(seen);
    for (const epoch of [ea, eb, ec]) {
      expect(await fired(epoch.signal)).toMatchObject(seen);
      await expect(epoch.get('k')).rejects.toMatchObject(seen);
    }
    expect(CheckpointEngineError.isInstance(eb.signal.reason)).toBe(true);
    // The world continues.
    expect(a.signal.aborted).toBe(false);
    await Promise.all([a, b, c].map((store) => store.epoch('u-2').barrier('x')));
  });

  test('an abort reaches inner scopes and a member that opens the scope later', async () => {
    const [a, b] = (await world(2)) as [Store, Store];
    const inner = b.epoch('u').epoch('nccl');
    expect(inner.epochName).toBe('u/nccl');
    await inner.set('k', bytes('v'));
    await a.epoch('u').abort(new CheckpointEngineError('CE_TRANSPORT_FAILED', 'No route', 'Check the network'));
    expect(await fired(inner.signal)).toMatchObject({ code: 'CE_TRANSPORT_FAILED', rank: 0 });
    expect(await fired(a.epoch('u').epoch('late').signal)).toMatchObject({ code: 'CE_TRANSPORT_FAILED' });
  });

  test('different members on another rank fail the epoch everywhere', async () => {
    const [a, b] = (await world(3)) as [Store, Store];
    const ea = a.epoch('u', [0, 1]);
    await ea.add('n', 1);
    const eb = b.epoch('u', [0, 1, 2]);
    for (const epoch of [ea, eb]) {
      expect(await fired(epoch.signal)).toMatchObject({
        code: 'CE_CONFIG_INVALID',
        message: expect.stringContaining('0, 1, 2'),
      });
    }
  });

  test('a closed epoch is forgotten when every member has closed it; until then its name cannot be used', async () => {
    const [a, b] = (await world(2)) as [Store, Store];
    const [ea, eb] = [a.epoch('u'), b.epoch('u')];
    await ea.set('k', bytes('v'));
    await eb.add('seen', 1);
    const pending = ea.barrier('x');
    pending.catch(() => {});
    await ea.close();
    await ea.close();
    await expect(pending).rejects.toMatchObject({ code: 'CE_CLOSED' });
    await expect(ea.get('k')).rejects.toMatchObject({ code: 'CE_CLOSED' });
    const again = a.epoch('u');
    await expect(again.get('k')).rejects.toMatchObject({
      code: 'CE_CLOSED',
      message: expect.stringContaining('again'),
    });
    await expect(eb.barrier('x')).rejects.toMatchObject({
      code: 'CE_CLOSED',
      message: expect.stringContaining('Rank 0'),
    });
    await again.close();
    await eb.close();
    await b.add('tick', 1);
    expect(await a.epoch('u').get('k')).toBeUndefined();
  });
});

describe('ranks that leave and join', () => {
  const fast = { heartbeatMs: 40, lostAfterMs: 200 };

  test('a rank that leaves fails the calls that need it at once, and new epochs without it work', async () => {
    const [a, b, c] = (await world(3)) as [Store, Store, Store];
    const [ea, eb] = [a, b].map((store) => store.epoch('u')) as [Store, Store];
    const pair = [a, b].map((store) => store.epoch('pair', [0, 1])) as [Store, Store];
    const waiting = [ea.barrier('x'), eb.wait('k'), a.allGather('g', bytes('a'))];
    for (const call of waiting) call.catch(() => {});
    await pair[0].add('n', 1);
    await c.close();
    for (const call of waiting) {
      await expect(call).rejects.toMatchObject({
        code: 'CE_RANK_LOST',
        lostRank: 2,
        message: expect.stringContaining('left'),
      });
    }
    expect(a.signal.reason).toBeInstanceOf(RankLostError);
    expect(pair[0].signal.aborted).toBe(false);
    await Promise.all(pair.map((epoch) => epoch.barrier('x')));
    await Promise.all([a, b].map((store) => store.epoch('two', [0, 1]).barrier('x')));
    expect(await fired(a.epoch('three').signal)).toMatchObject({ lostRank: 2 });
  });

  test('a rank that closed its epoch before it left does not fail that epoch', async () => {
    const [a, b] = (await world(2)) as [Store, Store];
    const [ea, eb] = [a.epoch('u'), b.epoch('u')];
    await Promise.all([ea.barrier('end'), eb.barrier('end')]);
    await eb.close();
    await b.close();
    await fired(a.signal);
    expect(ea.signal.aborted).toBe(false);
    await ea.add('still', 1);
  });

  test('a rank that returns completes the world: outermost scope and new epochs work', async () => {
    const started = await server(2);
    const a = await join(started, 0, 2);
    const b = await join(started, 1, 2);
    await a.set('k', bytes('v'));
    await b.close();
    const old = a.signal;
    await fired(old);
    await expect(a.get('k')).rejects.toMatchObject({ lostRank: 1 });
    const again = await join(started, 1, 2);
    await Promise.all([a.epoch('n').barrier('x'), again.epoch('n').barrier('x')]);
    expect(a.signal).not.toBe(old);
    expect(a.signal.aborted).toBe(false);
    await Promise.all([a.barrier('x'), again.barrier('x')]);
    expect(await a.get('k')).toBeUndefined();
  });

  test('a stalled event loop of this process loses no rank', async () => {
    const [a, b] = (await world(2, fast)) as [Store, Store];
    const until = performance.now() + 600;
    while (performance.now() < until);
    await Promise.all([a.barrier('x'), b.barrier('x')]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(a.signal.aborted).toBe(false);
  });

  test('a second process with a live rank is refused, and so is another world size', async () => {
    const started = await server(2);
    const a = await join(started, 0, 2);
    await expect(join(started, 0, 2)).rejects.toMatchObject({
      code: 'CE_CONFIG_INVALID',
      message: expect.stringContaining('Rank 0'),
    });
    await expect(join(started, 1, 3)).rejects.toMatchObject({
      code: 'CE_CONFIG_INVALID',
      message: expect.stringContaining('3'),
    });
    await expect(join(started, 5, 2)).rejects.toMatchObject({ code: 'CE_CONFIG_INVALID' });
    await a.add('alive', 1);
  });

  test('a server that closes at once still delivers pending messages', async () => {
    const started = await server(2);
    const [a, b] = await Promise.all([join(started, 0, 2), join(started, 1, 2)]);
    const big = new Uint8Array(60_000_000).fill(3);
    const theirs = b.allGather('last', big, { timeoutMs: 300_000 });
    await a.allGather('last', big, { timeoutMs: 300_000 });
    await a.close();
    const closing = started.close();
    expect((await theirs).map((value) => value.at(-1))).toEqual([3, 3]);
    await closing;
  });

  test('a server that closes ends every client with RankLostError(0)', async () => {
    const started = await server(2);
    const b = await join(started, 1, 2);
    const waiting = b.wait('k');
    waiting.catch(() => {});
    await started.close();
    await expect(waiting).rejects.toMatchObject({ code: 'CE_RANK_LOST', lostRank: 0 });
    expect(await fired(b.epoch('later').signal)).toMatchObject({ lostRank: 0 });
    await b.epoch('later').abort(new Error('x'));
  });
});

describe('tokens', () => {
  test('a world with a token works, and no text contains the token', async () => {
    const lines: string[] = [];
    const log = (fields: object, message: string): void => void lines.push(JSON.stringify(fields) + message);
    const logger = { debug: log, info: log, warn: log, error: log };
    const token = 'a-secret-of-the-ranks';
    const stores = await world(3, { token, logger });
    await Promise.all(stores.map((store) => store.barrier('x')));
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.join()).not.toContain(token);
  });

  test.each([
    ['a wrong token', 'right', 'wrong'],
    ['no token', 'right', undefined],
    ['a token where the server has none', undefined, 'right'],
  ])('%s: the rank cannot join, and the error names what to check', async (_name, ours, theirs) => {
    const started = await server(2, { token: ours });
    const failure = join(started, 1, 2, { token: theirs, timeoutMs: 400 });
    await expect(failure).rejects.toMatchObject({
      code: 'CE_STORE_UNREACHABLE',
      message: expect.stringContaining(String(started.port)),
      hint: expect.stringMatching(/MASTER_ADDR.*MASTER_PORT.*token/),
    });
  });

  test('a peer that knows the server key but not the token is refused by its proof', async () => {
    const { address } = await server(2, { token: 'right' });
    const keys = { ...deriveTokenKeys('right'), proofKey: deriveTokenKeys('wrong').proofKey };
    const nothing = (): void => {};
    const link = new ServerLink({
      address,
      rank: 1,
      worldSize: 2,
      keys,
      logger: silentLogger,
      onMessage: nothing,
      onLost: nothing,
    });
    open.push(link);
    await expect(link.welcome).rejects.toMatchObject({
      code: 'CE_TOKEN_REFUSED',
      hint: expect.stringContaining('token'),
    });
  });

  test('a world that is too large is misuse', async () => {
    for (const worldSize of [0, 1.5, 65_537, 99_999_999_999]) {
      await expect(startStoreServer({ port: 0, worldSize })).rejects.toThrow(RangeError);
      await expect(openStore({ rank: 0, worldSize, masterPort: 1, timeoutMs: 1_000 })).rejects.toThrow(RangeError);
    }
  });

  test('an empty token is misuse', async () => {
    await expect(startStoreServer({ port: 0, worldSize: 2, token: '' })).rejects.toThrow(TypeError);
  });
});

describe('opening', () => {
  test('a port in use is named', async () => {
    const { port } = await server(2);
    await expect(startStoreServer({ port, worldSize: 2 })).rejects.toMatchObject({
      code: 'CE_ADDRESS_IN_USE',
      message: expect.stringContaining(`Port ${port}`),
      hint: expect.stringContaining('MASTER_PORT'),
    });
  });

  test('openStore makes rank 0 the server; closing it releases the port', async () => {
    for (let i = 0; i < 2; i++) {
      const probe = await startStoreServer({ port: 0, worldSize: 2 });
      const masterPort = probe.port;
      await probe.close();
      const options = { worldSize: 2, masterPort, token: 't', timeoutMs: 5_000 };
      const [b, a] = await Promise.all([openStore({ ...options, rank: 1 }), openStore({ ...options, rank: 0 })]);
      await Promise.all([a.barrier('x'), b.barrier('x')]);
      await b.close();
      await a.close();
      await a.close();
      await expect(a.get('k')).rejects.toMatchObject({ code: 'CE_CLOSED' });
    }
  });

  test('a closed server frees its port at once', async () => {
    let port = 0;
    for (let i = 0; i < 30; i++) {
      const server = await startStoreServer({ port, worldSize: 2 });
      port = server.port;
      await server.close();
    }
  });

  test('a rank reaches the server although another process took its first connection and sent nothing', async () => {
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port: masterPort } = silent.address() as AddressInfo;
    const taken = new Promise<Socket>((resolve) => silent.once('connection', resolve));
    const joining = openStore({ worldSize: 2, masterPort, rank: 1, timeoutMs: 20_000 });
    const connection = await taken;
    silent.close();
    const server = await openStore({ worldSize: 2, masterPort, rank: 0 });
    const store = await joining;
    await Promise.all([store.close(), server.close()]);
    connection.destroy();
  }, 25_000);

  test('an abort ends joining', async () => {
    const controller = new AbortController();
    const joining = openStore({ rank: 1, worldSize: 2, masterPort: 1, signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await expect(joining).rejects.toMatchObject({ code: 'CE_ABORTED' });
  });

  test('a world of one opens no socket and has the same rules', async () => {
    const store = await openStore({ rank: 0, worldSize: 1 });
    const value = bytes('abc');
    await store.set('k', value);
    value[0] = 0;
    expect(text(await store.get('k'))).toBe('abc');
    (await store.get('k'))![0] = 0;
    expect(text(await store.wait('k'))).toBe('abc');
    expect(await store.add('n', 3)).toBe(3);
    await store.barrier('x');
    expect((await store.allGather('g', bytes('v'))).map(text)).toEqual(['v']);
    await expect(store.wait('never', { timeoutMs: 20 })).rejects.toMatchObject({ code: 'CE_TIMEOUT' });
    const epoch = store.epoch('u');
    await epoch.abort(new CheckpointEngineError('CE_ABORTED', 'Enough', 'Go on'));
    expect(epoch.signal.reason).toMatchObject({ code: 'CE_ABORTED', rank: 0 });
    await store.close();
    await expect(localStore().epoch('e').get('k')).resolves.toBeUndefined();
  });
});
