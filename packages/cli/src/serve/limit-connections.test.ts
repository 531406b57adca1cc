import { once } from 'node:events';
import { createServer, get, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { limitConnections } from './limit-connections.ts';

const sockets: Socket[] = [];
let server: Server;
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.closeAllConnections();
  server.close();
});

/** A server of at most this many connections that answers all but `/slow`. */
const start = async (maxConnections: number) => {
  const slow: ServerResponse[] = [];
  server = createServer((request, response) => {
    request.resume();
    if (request.url === '/slow') slow.push(response);
    else response.end('fine');
  });
  limitConnections(server, maxConnections);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const open = async (say = ''): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    sockets.push(socket);
    await once(socket, 'connect');
    if (say) socket.write(say);
    return socket;
  };
  const health = (): Promise<number | string | undefined> =>
    new Promise((resolve) => {
      get({ port, host: '127.0.0.1', path: '/', agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on('error', ({ code }: NodeJS.ErrnoException) => resolve(code));
    });
  return { slow, open, health };
};
const HEAD = 'HTTP/1.1\r\nhost: localhost\r\n';

describe('limitConnections', () => {
  it.each([
    ['nothing', ''],
    ['half a head', 'GET / HTTP/1.1\r\nho'],
    ['half a body', `POST / ${HEAD}content-length: 100\r\n\r\n{`],
  ])('accepts requests while other clients send %s', async (_, sent) => {
    const { open, health } = await start(8);
    for (let index = 0; index < 50; index++) await open(sent);
    for (let round = 0; round < 5; round++) expect(await health()).toBe(200);
  });

  it('does not close a connection that waits for its answer', async () => {
    const { slow, open, health } = await start(4);
    const asking = await open(`GET /slow ${HEAD}\r\n`);
    await expect.poll(() => slow.length).toBe(1);
    for (let index = 0; index < 20; index++) await open();
    expect(await health()).toBe(200);
    slow[0]!.end('done');
    const [answer] = await once(asking, 'data');
    expect(String(answer)).toContain('200 OK');
  });

  it('refuses a new connection if all wait for answers', async () => {
    const { slow, open, health } = await start(2);
    for (let index = 0; index < 2; index++) await open(`GET /slow ${HEAD}\r\n`);
    await expect.poll(() => slow.length).toBe(2);
    expect(await health()).toMatch(/ECONNRESET|EPIPE/);
  });

  it('refuses garbage with a status, and closes its connections at a limited rate', async () => {
    const { open, health } = await start(1_024);
    const sockets = await Promise.all(Array.from({ length: 200 }, () => open()));
    const startedAt = performance.now();
    const answers = sockets.map(async (socket, index) => {
      let text = '';
      socket.on('data', (chunk) => {
        text += String(chunk);
      });
      socket.write(index === 0 ? `GET / HTTP/1.1\r\nx: ${'x'.repeat(20_000)}` : '\x91'.repeat(1_000));
      if (!socket.destroyed) await once(socket, 'close');
      return text;
    });
    expect(await health()).toBe(200);
    const [first, ...others] = await Promise.all(answers);
    expect(first).toMatch(/^HTTP\/1\.1 431 .*\r\nConnection: close/);
    expect(new Set(others)).toEqual(new Set(['HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n']));
    expect(performance.now() - startedAt).toBeGreaterThan(800);
  });

  it('closes a connection that sends garbage while its answer is sent', async () => {
    const { slow, open } = await start(4);
    const asking = await open(`GET /slow ${HEAD}\r\n`);
    await expect.poll(() => slow.length).toBe(1);
    slow[0]!.write('a part');
    await once(asking, 'data');
    let more = '';
    asking.on('data', (text) => {
      more += String(text);
    });
    asking.write('\x91'.repeat(1_000));
    await once(asking, 'close');
    expect(more).not.toContain('400');
  });
});
