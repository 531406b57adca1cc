import { Buffer } from 'node:buffer';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { hubLink, StoreHub, TestStore } from '@checkpoint-engine/transport-compliance';
import { shm, shmP2P } from '@checkpoint-engine/transport-shm';
import { encode } from '@msgpack/msgpack';
import { afterEach, describe, expect, it } from 'vitest';
import { all, withGroup } from './world.ts';

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** A connection to a socket of this transport, which is not closed by this side. */
function candidate(name: string): Socket {
  const socket = connect(`\0${name}`);
  sockets.push(socket);
  return socket.on('error', () => {}).resume();
}

const closing = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once('close', () => resolve()));

function frame(value: unknown): Uint8Array {
  const body = encode(value);
  const bytes = new Uint8Array(4 + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length);
  bytes.set(body, 4);
  return bytes;
}

/** 304 bytes of nested lists, each of which declares 30 million values. */
const bomb = Uint8Array.from([0, 0, 1, 44, ...Array.from({ length: 60 }, () => [0xdd, 1, 0xc9, 0xc3, 0x80]).flat()]);

/** Connects to a socket, sends bytes, and returns the answer until the other side disconnects. */
async function talk(name: string, bytes: Uint8Array): Promise<number> {
  const socket = connect(`\0${name}`);
  let received = 0;
  socket.on('data', (chunk) => {
    received += chunk.length;
  });
  socket.on('error', () => {});
  socket.write(bytes);
  await new Promise((resolve) => socket.once('close', resolve));
  return received;
}

/** A well-formed hello with an invalid proof. */
function falseHello(): Uint8Array {
  const text = (value: string) => [0xa0 | value.length, ...new TextEncoder().encode(value)];
  const proof = [0xc4, 32, ...new Uint8Array(32)];
  const body = [0x83, ...text('type'), ...text('hello'), ...text('from'), ...text('1'), ...text('proof'), ...proof];
  return Uint8Array.of(0, 0, 0, body.length, ...body);
}

it('an endpoint disconnects a peer that does not know its secret, and continues to serve', async () => {
  const device = await createHostDevice();
  const owner = await shmP2P().open({ device });
  const reader = await shmP2P().open({ device });
  const [, name, secret] = (await owner.address()).split(':') as [string, string, string];
  expect(await talk(name, falseHello())).toBe(0);
  expect(await talk(name, new TextEncoder().encode('GET / HTTP/1.1\r\n\r\n'))).toBe(0);

  const memory = await device.allocateHost(1000, { shared: true });
  const { remote } = await owner.register(all(memory));
  const local = all(await device.allocateHost(1000));
  const reads = [{ remote, remoteOffsetBytes: 0, local }];
  const wrong = `shm:${name}:${secret.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'))}`;
  await expect(reader.read(wrong, reads)).rejects.toMatchObject({ code: 'CE_PEER_UNREACHABLE' });
  await reader.read(await owner.address(), reads);
  await Promise.all([owner.close(), reader.close()]);
  await device.close();
});

/** An owner with a registered range, and how a reader reads it. */
async function serving() {
  const device = await createHostDevice();
  const [owner, reader] = [await shmP2P().open({ device }), await shmP2P().open({ device })];
  const address = await owner.address();
  const [, name, secret] = address.split(':') as [string, string, string];
  const { remote } = await owner.register(all(await device.allocateHost(1000, { shared: true })));
  const local = all(await device.allocateHost(1000));
  const read = () => reader.read(address, [{ remote, remoteOffsetBytes: 0, local }], { timeoutMs: 10_000 });
  const close = async () => {
    await Promise.all([owner.close(), reader.close()]);
    await device.close();
  };
  return { name, secret, key: remote.key, read, close };
}

describe('unknown peers at the socket of an endpoint', () => {
  it('are disconnected when they announce more bytes than they send', async () => {
    const { name, read, close } = await serving();
    const before = process.memoryUsage().rss;
    await Promise.all(Array.from({ length: 20 }, () => talk(name, bomb)));
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
    await read();
    await close();
  });

  it('use a bounded number of descriptors, and do not block readers', async () => {
    const { name, read, close } = await serving();
    const idle = Array.from({ length: 300 }, () => candidate(name));
    await expect.poll(() => idle.filter(({ destroyed }) => destroyed).length).toBeGreaterThanOrEqual(300 - 140);
    await read();
    await close();
  });

  it('are not read any more after they flood', async () => {
    const { name, read, close } = await serving();
    const socket = candidate(name);
    const closed = closing(socket);
    for (let sent = 0; sent < 100 && !socket.destroyed; sent++) socket.write(new Uint8Array(2 ** 20));
    await read();
    await closed;
    expect(socket.bytesWritten - socket.writableLength).toBeLessThan(50e6);
    await close();
  });

  it.each<[string, object]>([
    ['a lease without keys', { type: 'lease', id: 1 }],
    ['a lease of keys that are lists', { type: 'lease', id: 1, keys: [[]] }],
    ['a release without a lease', { type: 'release' }],
    ['an unknown frame', { type: 'toString' }],
  ])('are disconnected although they know the secret: %s', async (_, sent) => {
    const { name, secret, read, close } = await serving();
    const socket = candidate(name);
    const proof = createHmac('sha256', Buffer.from(secret, 'base64url'))
      .update(JSON.stringify(['hello', 'x', name]))
      .digest();
    socket.write(frame({ type: 'hello', from: 'x', proof: new Uint8Array(proof) }));
    await once(socket, 'data');
    socket.write(frame(sent));
    await closing(socket);
    await read();
    await close();
  });
});

describe('unknown peers at the socket of a member that joins', () => {
  it('neither fill its memory nor block the others while it waits', async () => {
    const hub = new StoreHub();
    const device = await createHostDevice();
    const stores = [0, 1].map((rank) => new TestStore(hubLink(hub, rank), rank, 2));
    const transports = [shm(), shm()];
    const join = (rank: number) => transports[rank]!.join({ store: stores[rank]!, device, timeoutMs: 30_000 });
    const joining = join(0);
    await expect.poll(listening).toHaveLength(1);
    const name = listening()[0]!.slice(1);
    const before = process.memoryUsage().rss;
    const pending = Array.from({ length: 100 }, () => candidate(name));
    const flood = frame({ type: 'hello', from: '1', proof: new Uint8Array(32) });
    const more = new Uint8Array(1000 * flood.length);
    for (let at = 0; at < more.length; at += flood.length) more.set(flood, at);
    pending.forEach((socket, i) => {
      if (i % 3 === 0) socket.write(bomb);
      if (i % 3 === 1) for (let sent = 0; sent < 50e6 && socket.write(more); ) sent += more.length;
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    // The sum includes data that waits to be sent on this side.
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
    const groups = await Promise.all([joining, join(1)]);
    expect(groups.map((group) => group.members)).toEqual([
      [0, 1],
      [0, 1],
    ]);
    await Promise.all(transports.map((transport) => transport.close()));
    await Promise.all(stores.map((store) => store.close()));
    await device.close();
  });
});

/** Sockets of this process that wait for connections. */
function listening(): string[] {
  const own = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the descriptor that reads the folder
    }
  });
  const acceptsConnections = '00010000';
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .map((line) => line.split(/\s+/))
    .filter(([, , , flags, , , inode]) => flags === acceptsConnections && own.includes(`socket:[${inode}]`))
    .map((columns) => columns[7] ?? '')
    .filter((name) => name.startsWith('@checkpoint-engine-shm-'));
}

it('a complete group stops listening', async () => {
  const device = await createHostDevice();
  const endpoint = await shmP2P().open({ device });
  expect(listening()).toHaveLength(1); // otherwise the check below proves nothing
  await endpoint.close();
  await device.close();
  await withGroup(2, async () => expect(listening()).toEqual([]));
});
