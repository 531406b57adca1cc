import { Buffer } from 'node:buffer';
import { connect, createServer, type Server, type Socket } from 'node:net';
import process from 'node:process';
import type { Store } from '@checkpoint-engine/interface';
import { encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { Dealer, Router } from 'zeromq';
import { portOf } from './address.ts';
import { connectStore } from './connect-store.ts';
import { parseClientMessage, parseHello, parseServerMessage } from './parse-message.ts';
import { type StoreServer, startStoreServer } from './store-server.ts';
import { commandBytes, messageBytes, nullGreeting, properties } from './zmtp/frames.ts';

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function world(token?: string): Promise<{ server: StoreServer; stores: Store[] }> {
  const server = await startStoreServer({ port: 0, worldSize: 2, token });
  open.push(server);
  const join = (rank: number) =>
    connectStore({ address: server.address, rank, worldSize: 2, token, timeoutMs: 20_000 });
  const stores = await Promise.all([join(0), join(1)]);
  open.push(...stores);
  return { server, stores };
}

const meet = (stores: readonly Store[]): Promise<unknown> => Promise.all(stores.map((store) => store.barrier('again')));

/** Nested lists, each of which declares 30 million values. */
const bomb = Buffer.concat(Array.from({ length: 60 }, () => Buffer.from([0xdd, 0x01, 0xc9, 0xc3, 0x80])));
const first = encode([1, 0]);
const hello = (fields: object): Uint8Array =>
  encode([{ t: 'hello', protocol: 1, rank: 0, worldSize: 2, ...fields }, []]);
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const frameHead = (flags: number, sizeBytes: number): Buffer => {
  const head = Buffer.alloc(9);
  head[0] = flags | 2;
  head.writeBigUInt64BE(BigInt(sizeBytes), 1);
  return head;
};

/** A connection after the ZMTP handshake, and how it ends. */
function candidate(port: number, identity = ''): { socket: Socket; closed: Promise<void> } {
  const socket = connect(port, '127.0.0.1');
  open.push({ close: () => socket.destroy() });
  socket.on('error', () => {}).resume();
  socket.write(nullGreeting());
  socket.write(commandBytes('READY', properties({ 'Socket-Type': text('DEALER'), Identity: text(identity) })));
  return { socket, closed: new Promise((resolve) => socket.once('close', () => resolve())) };
}

/** Writes until the other side accepts no more; returns the number of accepted bytes. */
async function pour(socket: Socket, bytes: Uint8Array, maxBytes: number): Promise<void> {
  for (let sent = 0; sent < maxBytes && !socket.destroyed; sent += bytes.byteLength) {
    if (!socket.write(bytes))
      await Promise.race(['drain', 'close'].map((event) => new Promise((r) => socket.once(event, r))));
  }
}

describe('messages of an unauthenticated peer', () => {
  test.each<[string, Uint8Array[]]>([
    ['a protocol that is a map', [first, hello({ protocol: { toString: 1 } })]],
    ['a rank that is a map', [first, hello({ rank: { toString: 1 } })]],
    ['a world size that is a list', [first, hello({ worldSize: [2] })]],
    ['a rank that is half a number', [first, hello({ rank: 0.5 })]],
    ['lists that declare more values than follow', [first, bomb]],
    ['an envelope of lists that declare more values than follow', [bomb.subarray(0, 70), hello({})]],
    ['nothing', [encode(null), encode(null)]],
    ['a hello of a megabyte', [first, hello({ more: 'x'.repeat(2 ** 20) })]],
    ['a message in a thousand frames', Array.from({ length: 1_000 }, () => first)],
  ])('cost nothing: %s', async (_, frames) => {
    const { server, stores } = await world();
    const dealer = new Dealer({ linger: 500 });
    open.push(dealer);
    dealer.connect(server.address);
    await dealer.send(frames.map((bytes) => Buffer.from(bytes)));
    await meet(stores);
    const { closed, socket } = candidate(server.port);
    for (const bytes of messageBytes(frames)) socket.write(bytes);
    socket.end();
    await closed;
    await meet(stores);
  });

  test('an endless message is cut off', async () => {
    const { server, stores } = await world();
    const { socket, closed } = candidate(server.port);
    const before = process.memoryUsage().rss;
    await pour(socket, Buffer.concat([frameHead(1, 100), Buffer.alloc(100)]), 200e6);
    await closed;
    expect(process.memoryUsage().rss - before).toBeLessThan(150e6);
    await meet(stores);
  });

  test('a flood of messages is cut off', async () => {
    const { server, stores } = await world();
    const { socket, closed } = candidate(server.port);
    await pour(socket, Buffer.concat([...messageBytes([first, hello({ rank: 7 })])]), 200e6);
    await closed;
    await meet(stores);
  });

  test('a member of the world that sends an endless message, or garbage, is disconnected, and the others continue', async () => {
    const { server, stores } = await world();
    await stores[1]!.close();
    const { socket, closed } = candidate(server.port, 'x');
    socket.write(Buffer.concat(messageBytes([first, hello({ rank: 1 })])));
    await expect
      .poll(() =>
        stores[0]!.get('k').then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    await pour(socket, Buffer.concat([frameHead(1, 2 ** 20), Buffer.alloc(2 ** 20)]), 400e6);
    await closed;
    const next = await connectStore({ address: server.address, rank: 1, worldSize: 2, timeoutMs: 20_000 });
    open.push(next);
    await meet([stores[0]!, next]);
  });

  test('idle connections use a bounded number of descriptors, and do not block ranks', async () => {
    const server = await startStoreServer({ port: 0, worldSize: 2 });
    open.push(server);
    const idle = Array.from({ length: 300 }, () => connect(server.port, '127.0.0.1'));
    for (const socket of idle) {
      socket.on('error', () => {}).resume();
      open.push({ close: () => socket.destroy() });
    }
    await expect.poll(() => idle.filter(({ destroyed }) => destroyed).length).toBeGreaterThanOrEqual(300 - 140);
    const join = (rank: number) => connectStore({ address: server.address, rank, worldSize: 2, timeoutMs: 20_000 });
    const stores = await Promise.all([join(0), join(1)]);
    open.push(...stores);
    await meet(stores);
  });
});

describe('messages of a false server to a rank', () => {
  const join = (address: string) => connectStore({ address, rank: 1, worldSize: 2, timeoutMs: 1_500 });

  test.each<[string, Uint8Array]>([
    ['nothing', encode([null, []])],
    ['a welcome without times', encode([{ t: 'welcome' }, []])],
    [
      'a welcome with a heartbeat interval of 0',
      encode([{ t: 'welcome', server: 's', heartbeatMs: 0, lostAfterMs: 0 }, []]),
    ],
    ['a refusal without an error', encode([{ t: 'refused' }, []])],
    ['a refusal with an error of nothing', encode([{ t: 'refused', error: {} }, []])],
    ['a challenge without a nonce', encode([{ t: 'challenge' }, []])],
    ['an answer to a call that was not made', encode([{ t: 'result' }, []])],
    ['an unknown message', encode([{ t: '__proto__' }, []])],
    ['lists that declare more values than follow', bomb],
    ['a value that is announced and never sent', encode([{ t: 'ping' }, [2 ** 30]])],
  ])('end joining with an error of this project: %s', async (_, head) => {
    const router = new Router();
    await router.bind('tcp://127.0.0.1:*');
    open.push(router);
    void (async () => {
      for await (const [identity] of router) await router.send([identity!, Buffer.from(first), Buffer.from(head)]);
    })().catch(() => {});
    const before = process.memoryUsage().arrayBuffers;
    await expect(join(router.lastEndpoint!)).rejects.toMatchObject({ code: expect.stringMatching(/^CE_/) });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 2 ** 20);
  });

  test('an endless message does not fill the memory', async () => {
    let sentBytes = 0;
    const server: Server = createServer((socket) => {
      socket.on('error', () => {}).resume();
      socket.write(nullGreeting());
      socket.write(commandBytes('READY', properties({ 'Socket-Type': text('ROUTER'), Identity: text('') })));
      const piece = Buffer.concat([frameHead(1, 2 ** 20), Buffer.alloc(2 ** 20)]);
      const more = (): void => {
        while (!socket.destroyed && sentBytes < 400e6 && socket.write(piece)) sentBytes += piece.length;
      };
      socket.on('drain', more);
      more();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push({ close: () => new Promise((resolve) => server.close(resolve)) });
    const { port } = server.address() as { port: number };
    await expect(join(`127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'CE_STORE_UNREACHABLE' });
    expect(sentBytes).toBeLessThan(200e6);
  });
});

describe('parsing a message', () => {
  const field = fc.oneof(
    fc.anything(),
    fc.constantFrom('hello', 'call', 'open', 'welcome', 'failed', 'result', 'challenge', 0, 1),
  );
  const names = [
    't',
    'id',
    'nonce',
    'local',
    'op',
    'scope',
    'generation',
    'key',
    'members',
    'error',
    'rank',
    'protocol',
    'worldSize',
  ];
  const message = fc.dictionary(fc.constantFrom(...names), field);

  test.each<[string, unknown]>([
    ['no file', { path: '/s' }],
    ['no path', { file: 'f' }],
    ['a path that is not text', { path: 1, file: 'f' }],
    ['a path longer than those of sockets', { path: '/s'.repeat(54), file: 'f' }],
    ['a file that is too long', { path: '/s', file: 'f'.repeat(108) }],
    ['nothing', null],
  ])('rejects a challenge with a local socket of %s', (_, local) => {
    const challenge = { t: 'challenge', nonce: new Uint8Array(32) };
    expect(parseServerMessage({ ...challenge, local: { path: '/s', file: 'f' } })).toMatchObject(challenge);
    expect(() => parseServerMessage({ ...challenge, local })).toThrow(TypeError);
  });

  test('returns a message or a TypeError for any input', () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), message), (value) => {
        for (const parse of [parseHello, parseClientMessage, parseServerMessage]) {
          try {
            parse(value);
          } catch (error) {
            expect(error).toBeInstanceOf(TypeError);
            expect((error as Error).message).toMatch(/malformed/);
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

test('finds the port in an address', () => {
  expect(portOf('tcp://[::1]:7')).toBe(7);
});
