import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Connection } from './connection.ts';
import { encodeFrame, type Frame } from './frame-codec.ts';

describe('Connection', () => {
  let server: Server;
  let near: Socket;
  let far: Socket;

  beforeEach(async () => {
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = once(server, 'connection');
    near = connect((server.address() as { port: number }).port, '127.0.0.1');
    [far] = (await accepted) as [Socket];
    far.on('error', () => {});
  });
  afterEach(() => {
    near.destroy();
    far.destroy();
    server.close();
  });

  it('ends although the other side never reads', async () => {
    const connection = new Connection(near);
    connection.write(new Uint8Array(50e6));
    await connection.end({ type: 'bye' });
    expect(near.destroyed).toBe(true);
  });

  it('buffers little data before a consumer asks for it', async () => {
    const connection = new Connection(near);
    far.write(encodeFrame({ type: 'first' }));
    expect(await connection.next()).toEqual({ type: 'first' });
    const frame = encodeFrame({ type: 'more' });
    const flood = new Uint8Array(1000 * frame.length);
    for (let at = 0; at < flood.length; at += frame.length) flood.set(frame, at);
    let takenBytes = 0;
    while (takenBytes < 100e6) {
      takenBytes += flood.length;
      if (far.write(flood)) continue;
      const isStuck = await Promise.race([
        once(far, 'drain').then(() => false),
        new Promise((resolve) => setTimeout(resolve, 300, true)),
      ]);
      if (isStuck) break;
    }
    expect(takenBytes).toBeLessThan(50e6);
    const found: Frame[] = [];
    connection.consume((one) => found.push(one));
    await expect.poll(() => found.length).toBeGreaterThan(1000);
    expect(new Set(found.map(({ type }) => type))).toEqual(new Set(['more']));
  });

  it('closes when a consumer throws, and reports if the other side does not use the protocol', async () => {
    const connection = new Connection(near);
    connection.consume(() => {
      throw new RangeError('no');
    });
    far.write(encodeFrame({ type: 'x' }));
    await connection.closed;

    let garbage = 0;
    new Connection(far, () => garbage++).consume(() => {});
    far.emit('data', Uint8Array.of(0, 0, 0, 1, 0xc1));
    expect(garbage).toBe(1);
  });
});
