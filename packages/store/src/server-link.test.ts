import { Buffer } from 'node:buffer';
import { createServer, type Socket } from 'node:net';
import { silentLogger } from '@checkpoint-engine/interface';
import { afterEach, expect, test } from 'vitest';
import { Dealer } from 'zeromq';
import { CurveRouter } from './curve-router.ts';
import { MessageReader, MessageWriter, readSingle } from './framing.ts';
import { bindPrivately } from './front/private-address.ts';
import { parseClientMessage, parseHello } from './parse-message.ts';
import type { Addressed } from './router.ts';
import { ServerLink } from './server-link.ts';
import { deriveTokenKeys } from './token-keys.ts';
import { curveClientOptions } from './zmq/curve.ts';

const keys = deriveTokenKeys('right');
const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function router(): Promise<CurveRouter> {
  const secretKey = keys.serverSecretKey;
  const options = { host: '127.0.0.1', port: 0, worldSize: 2, secretKey, peerTimeoutMs: 10_000, logger: silentLogger };
  const listening = await CurveRouter.listen(options);
  open.push(listening);
  return listening;
}

test('a rank whose local socket does not answer joins through the port, under another name', async () => {
  const server = await router();
  const silent: Socket[] = [];
  const inner = await bindPrivately(async (path) => {
    const listener = createServer((socket) => silent.push(socket.on('error', () => {}).resume()));
    await new Promise<void>((resolve) => listener.listen(path, resolve));
    open.push({
      close: () => {
        for (const socket of silent) socket.destroy();
        listener.close();
      },
    });
  });
  open.push(inner);
  const names: string[] = [];
  const said = new Map<string, string[]>();
  const readers = new Map<string, MessageReader<{ t: string }>>();
  const proven = new Promise<string>((resolve) => {
    server.start(({ identity, frames }: Addressed) => {
      if (readSingle(frames, parseHello) !== undefined) {
        if (readers.has(identity)) return;
        names.push(identity);
        readers.set(identity, new MessageReader(parseClientMessage));
        const nonce = new Uint8Array(32);
        for (const answer of new MessageWriter().write({ t: 'challenge', nonce, local: inner.local })) {
          void server.send({ identity, frames: answer });
        }
        return;
      }
      const t = readers.get(identity)?.read(frames)?.message.t;
      if (t !== undefined) said.set(identity, [...(said.get(identity) ?? []), t]);
      if (t === 'proof') resolve(identity);
    });
  });
  const nothing = (): void => {};
  const { address } = server;
  const base = { rank: 1, worldSize: 2, keys, logger: silentLogger, onMessage: nothing, onLost: nothing };
  open.push(new ServerLink({ ...base, address }));
  const second = await proven;
  expect(silent.length).toBeGreaterThan(0);
  expect(names).toEqual([names[0], second]);
  expect(second).not.toBe(names[0]);
  expect([said.get(names[0]!), said.get(second)]).toEqual([['leave'], ['proof']]);
});

test('the local socket rejects a client that does not know the key of the server', async () => {
  const server = await router();
  const heard = new Promise<string>((resolve) => {
    server.start(({ frames }) => resolve(Buffer.from(frames[0]!).toString()));
  });
  const dial = (token: string): Dealer => {
    const { serverPublicKey: serverKey } = deriveTokenKeys(token);
    const dealer = new Dealer({ ...curveClientOptions({ serverKey }), linger: 0 });
    open.push(dealer);
    return dealer;
  };
  const wrong = dial('wrong');
  const rejected = new Promise<void>((resolve) => wrong.events.on('disconnect', () => resolve()));
  wrong.connect(`ipc://${server.localSocket!.path}`);
  await wrong.send('from outside');
  await rejected;
  const right = dial('right');
  right.connect(`ipc://${server.localSocket!.path}`);
  await right.send('from a rank');
  expect(await heard).toBe('from a rank');
});
