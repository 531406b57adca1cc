// Makes packages/interface/test-vectors/worker-protocol/bucket-sessions.json: `node packages/worker/test/make-bucket-vectors.mjs`.
// The TypeScript and the Python tests read it.
import { Buffer } from 'node:buffer';
import { writeFileSync } from 'node:fs';
import { encode } from '@msgpack/msgpack';

const bin = (hex) => ({ $bin: hex });
const restore = (value) => {
  if (Array.isArray(value)) return value.map(restore);
  if (typeof value !== 'object' || value === null) return value;
  if ('$bin' in value) return new Uint8Array(Buffer.from(value.$bin, 'hex'));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, restore(item)]));
};
const line = (from, message) => {
  const payload = Buffer.from(encode(restore(message)));
  const size = Buffer.alloc(4);
  size.writeUInt32LE(payload.length);
  return { from, message, frame: Buffer.concat([size, payload]).toString('hex') };
};
const worker = (message) => line('worker', message);
const server = (message) => line('server', message);

const key = '0123456789abcdef'.repeat(4);
const hello = worker({ type: 'hello', protocol: 2, key, pid: 4711 });
const welcome = (fields) =>
  server({
    type: 'welcome',
    protocol: 2,
    checkpoint: 'step-100',
    updateId: 'step-100:7',
    rank: 0,
    deviceKind: 'host',
    deviceUuid: 'HOST-test-0',
    handle: bin(Buffer.from('checkpoint-engine-0-1-2-0000000000000003').toString('hex')),
    sizeBytes: 536870912,
    slots: 2,
    bufferStays: true,
    ...fields,
  });
const tensors = {
  names: ['model.embed_tokens.weight', 'größe', 'scalar', 'empty'],
  dtypes: ['BF16', 'F8_E4M3', 'F32', 'F4'],
  shapes: [[151936, 4096], [128, 1], [], [0, 8]],
  offsets: [0, 1244659712, 1244660224, 1244660480],
  sizes: [1244659712, 128, 4, 0],
};
const sessions = [
  {
    name: 'an update of two buckets',
    lines: [
      hello,
      welcome({}),
      worker({ type: 'ready', credits: 2 }),
      server({ type: 'bucket', index: 0, tensors }),
      server({ type: 'bucket', index: 1, tensors: { names: [], dtypes: [], shapes: [], offsets: [], sizes: [] } }),
      worker({ type: 'ack', index: 0 }),
      worker({ type: 'ack', index: 70000 }),
      server({ type: 'release' }),
      worker({ type: 'released' }),
      server({ type: 'finish' }),
      worker({ type: 'finished' }),
    ],
  },
  {
    name: 'an update whose version the server confirms',
    lines: [
      worker({ type: 'hello', protocol: 2, key, pid: 4711, holds: 'unknown' }),
      welcome({}),
      worker({ type: 'ready', credits: 2 }),
      server({ type: 'bucket', index: 0, tensors }),
      worker({ type: 'ack', index: 0 }),
      server({ type: 'release' }),
      worker({ type: 'released' }),
      server({ type: 'finish', confirms: true }),
      worker({ type: 'finished' }),
      server({ type: 'confirm', version: 'step-100' }),
      worker({ type: 'confirmed' }),
    ],
  },
  {
    name: 'an update on a GPU that the server ends',
    lines: [
      hello,
      welcome({ deviceKind: 'cuda', deviceUuid: 'GPU-test', handle: bin('ab'.repeat(64)), sizeBytes: 5368709120 }),
      worker({ type: 'ready', credits: 1 }),
      server({
        type: 'abort',
        error: {
          code: 'CE_RANK_LOST',
          message: 'Rank 3 was lost',
          hint: 'Restart it',
          rank: 0,
          peer: 3,
          retryable: true,
        },
      }),
    ],
  },
  {
    name: 'an update that the worker ends',
    lines: [
      hello,
      welcome({ bufferStays: false }),
      worker({
        type: 'error',
        error: {
          code: 'CE_WORKER_FAILED',
          message: "KeyError: 'lm_head.weight'",
          hint: 'Look at the traceback in detail',
          retryable: false,
          detail: 'Traceback (most recent call last):\n  …',
        },
      }),
    ],
  },
];
const about =
  'Messages in order, with the frame that carries each: u32 little-endian size and msgpack. {"$bin": hex} is a msgpack bin. Numbers are in their shortest form and fields in the order of the message.';
const target = new URL('../../interface/test-vectors/worker-protocol/bucket-sessions.json', import.meta.url);
writeFileSync(target, `${JSON.stringify({ about, sessions }, undefined, 2)}\n`);
