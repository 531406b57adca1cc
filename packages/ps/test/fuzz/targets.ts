import { Buffer } from 'node:buffer';
import { createHash, createHmac, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createHostDevice } from '@checkpoint-engine/device';
import { CheckpointEngineError, type Store, silentLogger } from '@checkpoint-engine/interface';
import {
  decodeWorldMetas,
  encodeSafetensorsHeader,
  encodeWorldMetas,
  parseSafetensorsHeader,
  type RankMetas,
} from '@checkpoint-engine/meta';
import { connectStore, startStoreServer, v2Protocol } from '@checkpoint-engine/ps';
import { shm, shmP2P } from '@checkpoint-engine/transport-shm';
import { encode } from '@msgpack/msgpack';
import { commandBytes, messageBytes, nullGreeting, properties } from '../../../store/src/zmtp/frames.ts';
import { garbled, Random, sized } from './garbage.ts';
import { Feeder } from './socket-feeder.ts';

/** Sends `count` messages to a target, and returns how many it sent. Throws if the target does not work afterwards. */
export type Target = (count: number, seed: number, sample: () => void) => Promise<number>;

const SAMPLE_EVERY = 100;
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const error = { code: 'CE_INTERNAL', message: 'm', hint: 'h' };
const hello = { t: 'hello', protocol: 1, rank: 1, worldSize: 2 };
const clientMessages: readonly object[] = [
  hello,
  { t: 'pong' },
  { t: 'proof', mac: new Uint8Array(32) },
  { t: 'open', scope: 'e', members: [0, 1] },
  { t: 'close', scope: 'e' },
  { t: 'cancel', scope: '', id: 3 },
  ...['set', 'get', 'wait', 'add', 'barrier', 'allGather'].map((op, id) => ({
    t: 'call',
    id,
    op,
    scope: 'e',
    generation: 0,
    key: 'k',
    delta: 1,
  })),
  { t: 'call', id: 9, op: 'abort', scope: 'e', generation: 0, key: '', error },
  { t: 'call', id: 9, op: 'allGather', scope: 'e', generation: 0, key: 'k', from: [0], to: [1] },
];
const ready = (identity: string): Uint8Array =>
  Buffer.concat([
    nullGreeting(),
    commandBytes('READY', properties({ 'Socket-Type': text('DEALER'), Identity: text(identity) })),
  ]);

/** Frames of one message of the store. */
function storeMessage(random: Random, sequence: number): Uint8Array[] {
  const sizes = random.isLucky(0.1) ? [random.pick([0, 5, 2 ** 30, 2 ** 40, -1])] : [];
  const head = garbled(random, clientMessages, (message) => [message, sizes]);
  const number = random.isLucky(0.05) ? random.below(100) : sequence;
  const frames = [encode([number, random.isLucky(0.1) ? random.below(4) : 0]), head];
  if (random.isLucky(0.1)) frames.push(random.bytes(100));
  return frames;
}

async function withStore(feed: (port: number) => Promise<number>): Promise<number> {
  const server = await startStoreServer({ port: 0, worldSize: 2 });
  const join = (rank: number) => connectStore({ address: server.address, rank, worldSize: 2, timeoutMs: 30_000 });
  const first = await join(0);
  try {
    const fed = await feed(server.port);
    // A session with fuzzed messages may occupy the rank until the store considers it lost.
    let second: Store | undefined;
    for (let tries = 0; second === undefined; tries++) {
      second = await join(1).catch(async (failure) => {
        if (tries > 20) throw failure;
        await sleep(1_000);
        return undefined;
      });
    }
    await Promise.all([first, second].map((store) => store.epoch('sound').barrier('sound')));
    await second.close();
    return fed;
  } finally {
    await first.close();
    await server.close();
  }
}

const storeOf =
  (joined: boolean): Target =>
  (count, seed, sample) =>
    withStore(async (port) => {
      const random = new Random(seed);
      let fed = 0;
      while (fed < count) {
        const feeder = await Feeder.open({ port, host: '127.0.0.1' });
        await feeder.say(ready(random.isLucky(0.5) ? '' : randomUUID()));
        if (joined) await feeder.say(Buffer.concat(messageBytes([encode([1, 0]), encode([hello, []])])));
        for (let sequence = 1; feeder.isOpen && sequence < 200 && fed < count; sequence++, fed++) {
          const frames = storeMessage(random, sequence);
          const bytes = Buffer.concat(messageBytes(frames));
          await feeder.say(random.isLucky(0.02) ? random.bytes(50) : bytes);
          if (fed % 10 === 0) await feeder.pause();
          if (fed % SAMPLE_EVERY === 0) sample();
        }
        await feeder.end();
      }
      return fed;
    });

/** Frames of transport-shm, of groups and of reads. */
const shmMessages: readonly object[] = [
  { type: 'hello', from: '1', proof: new Uint8Array(32) },
  { type: 'lease', id: 1, keys: ['a', 'b'] },
  { type: 'release', id: 1 },
  { type: 'closed' },
  { type: 'announce', call: 0, handle: new Uint8Array(20), memoryBytes: 10, offsetBytes: 0, sizeBytes: 10 },
  { type: 'abort', error: { error } },
];

const p2p: Target = async (count, seed, sample) => {
  const random = new Random(seed);
  const device = await createHostDevice({ index: 871 });
  const owner = await shmP2P().open({ device });
  const [, name, secret] = (await owner.address()).split(':') as [string, string, string];
  const proof = createHmac('sha256', Buffer.from(secret, 'base64url'))
    .update(JSON.stringify(['hello', 'x', name]))
    .digest();
  let fed = 0;
  while (fed < count) {
    const feeder = await Feeder.open({ path: `\0${name}` });
    if (random.isLucky(0.6))
      await feeder.say(sized(new Random(1), encode({ type: 'hello', from: 'x', proof: new Uint8Array(proof) }), false));
    for (let said = 0; feeder.isOpen && said < 50 && fed < count; said++, fed++) {
      await feeder.say(sized(random, garbled(random, shmMessages), false));
      await feeder.pause();
      if (fed % SAMPLE_EVERY === 0) sample();
    }
    await feeder.end();
  }
  const memory = await device.allocateHost(100, { shared: true });
  const local = await device.allocateHost(100);
  const { remote } = await owner.register({ memory, offsetBytes: 0, sizeBytes: 100 });
  const reader = await shmP2P().open({ device });
  await reader.read(await owner.address(), [
    { remote, remoteOffsetBytes: 0, local: { memory: local, offsetBytes: 0, sizeBytes: 100 } },
  ]);
  await Promise.all([reader.close(), owner.close()]);
  await device.close();
  return fed;
};

/** Inodes of the sockets that this process holds open. */
const ownInodes = (): Set<string> =>
  new Set(
    readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    }),
  );

/** Names of the mesh sockets of this process: other worlds on this machine may open some at the same time. */
const meshSockets = (): string[] => {
  const own = ownInodes();
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .map((line) => /^(?:\S+\s+){6}(\d+) @(checkpoint-engine-shm-\w+)/.exec(line))
    .flatMap((socket) => (socket && own.has(socket[1]!) ? socket[2]! : []));
};

const mesh: Target = async (count, seed, sample) => {
  const random = new Random(seed);
  const device = await createHostDevice({ index: 872 });
  const server = await startStoreServer({ port: 0, worldSize: 2 });
  const stores = await Promise.all([0, 1].map((rank) => connectStore({ address: server.address, rank, worldSize: 2 })));
  const known = new Set(meshSockets());
  const transports = [shm(), shm()];
  const join = (rank: number) =>
    transports[rank]!.join({ store: stores[rank]!.epoch('mesh'), device, timeoutMs: 600_000 });
  const joining = join(0);
  let name: string | undefined;
  while (name === undefined) {
    await sleep(10);
    name = meshSockets().find((one) => !known.has(one));
  }
  let fed = 0;
  while (fed < count) {
    const feeder = await Feeder.open({ path: `\0${name}` });
    for (let said = 0; feeder.isOpen && said < 50 && fed < count; said++, fed++) {
      await feeder.say(sized(random, garbled(random, shmMessages), false));
      await feeder.pause();
      if (fed % SAMPLE_EVERY === 0) sample();
    }
    await feeder.end();
  }
  await Promise.all([joining, join(1)]);
  await Promise.all(transports.map((transport) => transport.close()));
  await Promise.all(stores.map((store) => store.close()));
  await server.close();
  await device.close();
  return fed;
};

const workerMessages = (key: string): readonly object[] => [
  { type: 'hello', protocol: 2, key, pid: 1 },
  { type: 'hello', protocol: 2, key, pid: 1, pull: { version: 1 } },
  { type: 'ready', credits: 2 },
  { type: 'ack', index: 0 },
  { type: 'released' },
  { type: 'finished' },
  { type: 'error', error },
  { type: 'surveyed', known: true, proved: false, fingerprint: 'f' },
  { type: 'mapped', needPlaces: false },
];

const v2: Target = async (count, seed, sample) => {
  const random = new Random(seed);
  const device = await createHostDevice({ index: 873 });
  const buffer = await device.allocateShared(4096);
  let fed = 0;
  while (fed < count) {
    const session = await v2Protocol().createSession({
      ...{
        deviceUuid: device.uuid,
        deviceKind: device.kind,
        updateId: 'u',
        counter: 1,
        rank: 0,
        slots: 3,
        checkpoint: 'c',
      },
      ...{ timeoutMs: 20_000, logger: silentLogger },
    });
    const [, name, key] = /^ce2:(.*)\?key=(.*)$/.exec(session.address)!;
    const over = new AbortController();
    const tensor = { name: 'a', dtype: 'U8', shape: [4], offsetBytes: 0, sizeBytes: 4 } as const;
    const call = { signal: over.signal };
    const working = session
      .open(buffer, call)
      .then(() => Promise.all([0, 1].map((index) => session.reload({ index, tensors: [tensor] }, call))))
      .then(() => session.finish(call))
      .catch((failure: unknown) => {
        if (!CheckpointEngineError.isInstance(failure)) throw failure;
      });
    for (let callers = 0; callers < 20 && fed < count; callers++) {
      const feeder = await Feeder.open({ path: `\0${name}` });
      if (random.isLucky(0.3)) await feeder.say(sized(new Random(1), encode(workerMessages(key!)[0]), true));
      for (let said = 0; feeder.isOpen && said < 50 && fed < count; said++, fed++) {
        await feeder.say(sized(random, garbled(random, workerMessages(key!)), true));
        await feeder.pause();
        if (fed % SAMPLE_EVERY === 0) sample();
      }
      await feeder.end();
    }
    over.abort(new Error('enough'));
    await working;
    await session.close();
  }
  buffer.close();
  await device.close();
  return fed;
};

/** Slightly changed bytes. A parser must return a result, or an error of this project. */
function parser(valid: readonly Uint8Array[], parse: (bytes: Uint8Array) => unknown): Target {
  return async (count, seed, sample) => {
    const random = new Random(seed);
    for (let fed = 0; fed < count; fed++) {
      const bytes = random.isLucky(0.1) ? random.bytes(400) : random.pick(valid).slice();
      for (let flips = random.below(5); flips > 0 && bytes.length > 0; flips--)
        bytes[random.below(bytes.length)] = random.below(256);
      try {
        parse(random.isLucky(0.1) ? bytes.subarray(0, random.below(bytes.length + 1)) : bytes);
      } catch (failure) {
        if (!CheckpointEngineError.isInstance(failure)) throw failure;
      }
      if (fed % SAMPLE_EVERY === 0) {
        sample();
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    return count;
  };
}

const METAS_HEADER_BYTES = 37;

/** Corrects the digest of metas, so that the decoder reads the data after it. */
function withDigest(bytes: Uint8Array): Uint8Array {
  if (bytes.length > METAS_HEADER_BYTES)
    bytes.set(createHash('sha256').update(bytes.subarray(METAS_HEADER_BYTES)).digest(), 5);
  return bytes;
}

const tensors = Array.from({ length: 20 }, (_, i) => ({
  name: `layer.${i}.weight`,
  dtype: 'BF16' as const,
  shape: [4, i + 1],
}));
const metasOf = (rank: number): RankMetas => ({
  checkpoint: 'c',
  rank,
  host: 'h',
  deviceUuid: `HOST-${rank}`,
  nics: [],
  regions: [
    { sizeBytes: 256 * tensors.length, remote: { address: '4096', sizeBytes: 256 * tensors.length, key: 'k' } },
  ],
  tensors: tensors.map(({ name, dtype, shape }, i) => ({
    ...{ name: `${name}.${rank}`, dtype, shape, sizeBytes: 8 * (i + 1), region: 0, offsetBytes: 256 * i },
  })),
});
const safetensors = encodeSafetensorsHeader(tensors);

/** All readers of bytes from other processes, by name. */
export const targets: Readonly<Record<string, Target>> = {
  'the store, unauthenticated': storeOf(false),
  'the store, as a member': storeOf(true),
  'the sockets of a mesh': mesh,
  'the socket of a P2P endpoint': p2p,
  'a worker address of protocol 2': v2,
  metas: parser([encodeWorldMetas([0, 1].map(metasOf))], (bytes) => decodeWorldMetas(withDigest(bytes))),
  'safetensors headers': parser([safetensors], (bytes) =>
    parseSafetensorsHeader(bytes, { path: 'fuzz.safetensors', fileSizeBytes: bytes.length + 10_000 }),
  ),
};
