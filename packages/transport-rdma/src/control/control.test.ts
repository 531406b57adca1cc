import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeFrame } from '../frames.ts';
import { ControlServer } from './control-server.ts';
import { formatKey, parseKey, type RangeKey, randomId } from './key.ts';
import { PeerLink } from './peer-link.ts';
import { RangeTable } from './range-table.ts';

const peer = '127.0.0.1:15999';

describe('control channel', () => {
  let ranges: RangeTable;
  let server: ControlServer;
  let key: RangeKey;
  const link = (more: Partial<RangeKey> = {}, token?: string): Promise<PeerLink> =>
    PeerLink.connect(peer, { ...key, ...more }, token, 2000);

  beforeEach(async () => {
    ranges = new RangeTable();
    key = { incarnation: randomId(), secret: randomId(), port: 0, range: 1 };
    const { incarnation, secret } = key;
    server = await ControlServer.listen({ host: '127.0.0.1', ports: [0], incarnation, secret, token: 'token', ranges });
    server.address = peer;
    key = { ...key, port: server.port };
  });
  afterEach(() => server.close());

  test('grants leases and ends them, at the latest with the connection', async () => {
    const { number } = ranges.add('4096', 10);
    const reader = await link({}, 'token');
    const reply = await reader.request({ op: 'lease', ranges: [[number, '4096', 10]], ttlMs: 60_000 }, 5_000);
    expect(reply).toMatchObject({ lease: expect.any(Number) });
    const { lease } = reply as { lease: number };
    expect(await reader.request({ op: 'release', lease }, 5_000)).toMatchObject({ held: true });
    await reader.request({ op: 'lease', ranges: [[number, '4096', 10]], ttlMs: 60_000 }, 5_000);
    const removing = ranges.remove(number, 60_000);
    reader.close();
    await removing;
  });

  test.each<[string, () => Partial<RangeKey>, string | undefined, string]>([
    ['another token', () => ({}), 'other', 'CE_TOKEN_REFUSED'],
    ['no token', () => ({}), undefined, 'CE_TOKEN_REFUSED'],
    ['another secret', () => ({ secret: randomId() }), 'token', 'CE_TOKEN_REFUSED'],
    ['another incarnation', () => ({ incarnation: randomId() }), 'token', 'CE_RANGE_NOT_REGISTERED'],
    ['a port without a listener', () => ({ port: 1 }), 'token', 'CE_PEER_UNREACHABLE'],
  ])('refuses %s', async (_, more, token, code) => {
    await expect(link(more(), token)).rejects.toMatchObject({ code, peer });
  });

  test('a channel to another owner is rejected', async () => {
    await expect(PeerLink.connect('127.0.0.1:15998', key, 'token', 2000)).rejects.toMatchObject({
      code: 'CE_RANGE_NOT_REGISTERED',
    });
  });

  test('a reader without a valid proof is disconnected before its first request', async () => {
    const { number } = ranges.add('4096', 10);
    const socket = connect(server.port, '127.0.0.1');
    socket.write(encodeFrame({ incarnation: key.incarnation, nonce: 'nonce' }));
    const [welcome] = await once(socket, 'data');
    expect(String(welcome)).toContain('proof');
    socket.write(encodeFrame({ proof: 'guess' }));
    socket.write(encodeFrame({ op: 'lease', id: 0, ranges: [[number, '4096', 10]], ttlMs: 1000 }));
    const answers: unknown[] = [];
    socket.on('data', (piece) => answers.push(piece));
    await once(socket, 'close');
    expect(answers).toEqual([]);
  });

  test('a peer that does not use the protocol is disconnected', async () => {
    const socket = connect(server.port, '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await once(socket, 'close');
  });

  test('an owner that does not answer a request times out', async () => {
    // The owner is frozen: the reader's messages do not reach it.
    const held: Socket[] = [];
    const relay = createServer((near) => {
      const far = connect(server.port, '127.0.0.1');
      held.push(near, far);
      near
        .on('error', () => {})
        .pipe(far.on('error', () => {}))
        .pipe(near);
    }).listen(0, '127.0.0.1');
    await once(relay, 'listening');
    const reader = await link({ port: (relay.address() as { port: number }).port }, 'token');
    held[0]!.unpipe();
    await expect(reader.request({ op: 'release', lease: 1 }, 100)).rejects.toMatchObject({ code: 'CE_TIMEOUT', peer });
    for (const socket of held) socket.destroy();
    relay.close();
  });

  test.each<[string, object]>([
    ['a lease without ranges', { op: 'lease', id: 0, ttlMs: 1 }],
    ['a lease of ranges that are objects', { op: 'lease', id: 0, ttlMs: 1, ranges: [{}] }],
    ['a release without a lease', { op: 'release', id: 0 }],
    ['an unknown request', { op: 'toString', id: 0 }],
  ])('a reader that knows the key and sends %s is disconnected, and the owner continues', async (_, request) => {
    const reader = await link({}, 'token');
    await expect(reader.request(request as never, 5_000)).rejects.toMatchObject({ code: 'CE_PEER_LOST' });
    await link({}, 'token');
  });

  test('idle unknown peers use a bounded number of descriptors, and do not block readers', async () => {
    const idle = Array.from({ length: 300 }, () =>
      connect(server.port, '127.0.0.1')
        .on('error', () => {})
        .resume(),
    );
    await expect.poll(() => idle.filter(({ destroyed }) => destroyed).length).toBeGreaterThanOrEqual(300 - 140);
    await link({}, 'token');
    for (const socket of idle) socket.destroy();
  });

  test('an owner that disconnects is lost', async () => {
    const reader = await link({}, 'token');
    const asked = reader.request({ op: 'release', lease: 1 }, 5_000);
    await asked;
    const lost = once(reader.signal, 'abort');
    await server.close();
    await lost;
    expect(reader.signal.reason).toMatchObject({ code: 'CE_PEER_LOST', peer });
    await expect(reader.request({ op: 'release', lease: 1 }, 5_000)).rejects.toMatchObject({ code: 'CE_PEER_LOST' });
  });

  test('an owner that does not answer is reported as unreachable after the time-out', async () => {
    const silent: Server = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    await expect(PeerLink.connect(peer, { ...key, port }, undefined, 100)).rejects.toMatchObject({
      code: 'CE_PEER_UNREACHABLE',
      message: expect.stringContaining('100 ms'),
    });
    silent.close();
  });

  test('takes the first port that is free', async () => {
    const { incarnation, secret } = key;
    const options = { host: '127.0.0.1', incarnation, secret, token: undefined, ranges };
    const next = await ControlServer.listen({ ...options, ports: [server.port, 0] });
    expect(next.port).not.toBe(server.port);
    await next.close();
    await expect(ControlServer.listen({ ...options, ports: [server.port] })).rejects.toMatchObject({
      code: 'CE_ADDRESS_IN_USE',
    });
    await expect(ControlServer.listen({ ...options, ports: [0], host: '203.0.113.1' })).rejects.toMatchObject({
      code: 'CE_CONFIG_INVALID',
    });
  });
});

describe('keys', () => {
  test('survive encoding', () => {
    const key = { incarnation: randomId(), secret: randomId(), port: 65_535, range: 12 };
    expect(parseKey(formatKey(key))).toEqual(key);
    expect(parseKey('mooncake')).toBeUndefined();
  });
  test.each(['', 'ce1', 'segment-7', 'ce2.a.1.1.b'])('"%s" is refused', (key) => {
    expect(() => parseKey(key)).toThrowError(expect.objectContaining({ code: 'CE_METAS_INVALID' }));
  });
});
