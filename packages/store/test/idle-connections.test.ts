import { readdir } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { Dealer } from 'zeromq';
import { freePort } from '../../../tools/test/free-port.ts';
import { deriveTokenKeys } from '../src/token-keys.ts';
import { curveClientOptions } from '../src/zmq/curve.ts';
import { commandBytes } from '../src/zmtp/frames.ts';
import { type Launch, NO_PROCESSES, OWN_PROCESSES, RankProcess } from './store-rank.ts';

const TOKEN = 'the token of this world';
const WORLD = 3;
/**
 * The store holds at most 134 connections that have not proved the token and 70 that have; each takes 3 descriptors.
 */
const MAX_DESCRIPTORS = 3 * (134 + 70);

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

/** A rank that continues to use the port after it has joined. */
const AT_PORT = 1;
if (NO_PROCESSES) console.warn(`No rank stays at the port among idle connections: ${NO_PROCESSES}`);

function start(options: { readonly rank: number; readonly masterPort: number }): RankProcess {
  const launch: Launch = options.rank === AT_PORT && !NO_PROCESSES ? { prefix: OWN_PROCESSES } : {};
  const rank = new RankProcess({ worldSize: WORLD, token: TOKEN, ...options }, launch);
  open.push({
    close: async () => {
      rank.kill('SIGKILL');
      await rank.exited;
    },
  });
  return rank;
}

function tcp(port: number): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {}).resume();
  open.push({ close: () => socket.destroy() });
  return socket;
}

function curveGreeting(): Uint8Array {
  const greeting = new Uint8Array(64);
  greeting.set([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1]);
  greeting.set(new TextEncoder().encode('CURVE'), 12);
  return greeting;
}

const silent = (port: number): void => void tcp(port);
const greeting = (port: number): void => void tcp(port).write(curveGreeting());
const falseProof = (port: number): void => {
  const socket = tcp(port);
  socket.write(curveGreeting());
  socket.write(commandBytes('HELLO', new Uint8Array(194)));
};

/** Connections of a process that has the token and never sends a hello. */
function members(port: number, count: number): void {
  const { serverPublicKey: serverKey } = deriveTokenKeys(TOKEN);
  const dealer = new Dealer({ ...curveClientOptions({ serverKey }), reconnectInterval: -1, linger: 0 });
  open.push(dealer);
  // A socket connects once to each address, so each connection has its own address on this side.
  for (let n = 0; n < count; n++) dealer.connect(`tcp://127.1.${n >> 7}.${1 + (n & 127)}:0;127.0.0.1:${port}`);
}

const each = (one: (port: number) => void) => (port: number, count: number) => {
  for (let n = 0; n < count; n++) one(port);
};

test.each<[string, (port: number, count: number) => void, number]>([
  ['that send nothing', each(silent), 2_000],
  ['that send a greeting only', each(greeting), 2_000],
  ['that send a false proof', each(falseProof), 2_000],
  ['that prove the token and send no hello', members, 1_000],
])('%s: the server holds a bounded number of connections, and the ranks continue', async (_, connectAll, count) => {
  const masterPort = await freePort();
  const ranks = Array.from({ length: WORLD }, (_, rank) => start({ rank, masterPort }));
  for (const rank of ranks) expect(await rank.joined).toBeUndefined();
  const descriptors = async () => (await readdir(`/proc/${ranks[0]!.process.pid}/fd`)).length;
  const before = await descriptors();
  let most = 0;
  for (let batch = 0; batch < 10; batch++) {
    connectAll(masterPort, count / 10);
    await Promise.all(ranks.map((rank) => rank.call('barrier', '', `batch ${batch}`)));
    most = Math.max(most, await descriptors());
  }
  ranks[2]!.kill('SIGKILL');
  // Restarted among the idle connections: it joins, and the three ranks meet again.
  const again = start({ rank: 2, masterPort });
  expect(await again.joined).toBeUndefined();
  await Promise.all([ranks[0]!, ranks[1]!, again].map((rank) => rank.call('barrier', 'next', 'met')));
  most = Math.max(most, await descriptors());
  expect(most - before).toBeLessThanOrEqual(MAX_DESCRIPTORS);
});
