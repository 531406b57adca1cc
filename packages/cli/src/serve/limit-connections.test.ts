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
  ])('lets requests in beside strangers that say %s', async (_, said) => {
    const { open, health } = await start(8);
    for (let index = 0; index < 50; index++) await open(said);
    for (let round = 0; round < 5; round++) expect(await health()).toBe(200);
  });

  it('closes no connection that waits for its answer', async () => {
    const { slow, open, health } = await start(4);
    const asking = await open(`GET /slow ${HEAD}\r\n`);
    await expect.poll(() => slow.length).toBe(1);
    for (let index = 0; index < 20; index++) await open();
    expect(await health()).toBe(200);
    slow[0]!.end('done');
    const [answer] = await once(asking, 'data');
    expect(String(answer)).toContain('200 OK');
  });

  it('refuses a new one where all wait for answers', async () => {
    const { slow, open, health } = await start(2);
    for (let index = 0; index < 2; index++) await open(`GET /slow ${HEAD}\r\n`);
    await expect.poll(() => slow.length).toBe(2);
    expect(await health()).toMatch(/ECONNRESET|EPIPE/);
  });
});
