import { spawnSync } from 'node:child_process';
import { DTYPES, torchType } from '@checkpoint-engine/meta';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BucketTensor } from '../src/session.ts';
import { encodeBucket, encodeBuffer, encodeError, encodeNone } from '../src/v1/messages.ts';
import { PickleWriter } from '../src/v1/pickle-writer.ts';
import { python, reasonToSkip, scriptPath } from './v1-python.ts';

const reason = reasonToSkip('pickle', 'pickletools');

/** The results of Python's own unpicklers. */
function unpickle(pickles: readonly Uint8Array[]): unknown[] {
  const parts = pickles.flatMap((pickle) => {
    const header = Buffer.alloc(4);
    header.writeUInt32LE(pickle.length);
    return [header, pickle];
  });
  const run = spawnSync(python, [scriptPath('v1-unpickle.py')], {
    input: Buffer.concat(parts),
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (run.status !== 0) throw new Error(run.stderr);
  return JSON.parse(run.stdout) as unknown[];
}

const int = (value: number | bigint): object => ({ int: String(value) });

function write(value: (pickle: PickleWriter) => void): Uint8Array {
  const pickle = new PickleWriter(1);
  value(pickle);
  return pickle.finish();
}

function expected(tensor: BucketTensor): object {
  const { dtype, shape } = torchType(tensor);
  return {
    dict: [
      ['name', tensor.name],
      ['dtype', { reference: `torch.${dtype}` }],
      ['shape', { size: shape.map(int) }],
      ['offset', int(tensor.offsetBytes)],
    ],
  };
}

const anyTensor: fc.Arbitrary<BucketTensor> = fc.record({
  // 'binary' strings contain any code units, including lone surrogates.
  name: fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme', maxLength: 300 }), codeUnits()),
  dtype: fc.constantFrom(...DTYPES.filter((dtype) => !dtype.startsWith('F6') && dtype !== 'F4')),
  shape: fc.array(fc.nat({ max: 2 ** 31 }), { maxLength: 5 }),
  offsetBytes: fc.oneof(fc.nat({ max: 2 ** 17 }), fc.maxSafeNat()),
  sizeBytes: fc.constant(0),
});

function codeUnits(): fc.Arbitrary<string> {
  const unit = fc.oneof(fc.integer({ min: 0xd7f0, max: 0xe010 }), fc.nat({ max: 0xffff }));
  return fc.array(unit, { maxLength: 200 }).map((units) => String.fromCharCode(...units));
}

describe.skipIf(reason)(`v1 pickles read by Python${reason ? ` (skipped: ${reason})` : ''}`, () => {
  it('restores 10,000 random tensors', () => {
    const tensors = fc.sample(anyTensor, 10_000);
    const [one, ...many] = unpickle([
      encodeBucket(tensors),
      ...tensors.slice(0, 500).map((tensor) => encodeBucket([tensor])),
    ]);
    expect(one).toEqual(tensors.map(expected));
    expect(many).toEqual(tensors.slice(0, 500).map((tensor) => [expected(tensor)]));
  });

  it('restores names unchanged: quotes, newlines, NUL, every plane, lone surrogates, 10 kB', () => {
    const names = [
      '',
      '\0',
      `"'\\\n\r\u2028`,
      'é€😀',
      '\ud83d',
      '\ude00\ud83d',
      'x'.repeat(10_000),
      '\u{10ffff}'.repeat(10_000),
    ];
    for (const length of [84, 85, 86, 255, 256]) names.push('a'.repeat(length), '€'.repeat(length));
    const tensors = names.map(
      (name): BucketTensor => ({ name, dtype: 'BF16', shape: [], offsetBytes: 0, sizeBytes: 2 }),
    );
    expect(unpickle([encodeBucket(tensors)])).toEqual([tensors.map(expected)]);
  });

  it('restores integers on both sides of every width, up to 2^63 and beyond', () => {
    const values = [0n, 1n];
    for (const bits of [7n, 8n, 15n, 16n, 31n, 32n, 53n, 63n, 64n, 100n]) {
      for (const near of [-1n, 0n, 1n]) values.push((1n << bits) + near, -(1n << bits) + near);
    }
    const pickles = values.map((value) => write((pickle) => pickle.integer(value)));
    const safe = values.map(Number).filter(Number.isSafeInteger);
    pickles.push(...safe.map((value) => write((pickle) => pickle.integer(value))));
    expect(unpickle(pickles)).toEqual([...values, ...safe].map(int));
  });

  it('restores bytes of any length, and shares bytes that are written once', () => {
    const sizes = [0, 1, 64, 255, 256, 100_000];
    const pickles = sizes.map((size) => write((pickle) => pickle.bytes(new Uint8Array(size).fill(7))));
    const texts = Array.from({ length: 1000 }, (_, i) => `key ${i % 500}`);
    pickles.push(
      write((pickle) =>
        pickle.list(() => {
          for (const text of texts) pickle.once(text, () => pickle.text(text));
        }),
      ),
    );
    expect(unpickle(pickles)).toEqual([...sizes.map((size) => ({ bytes: '07'.repeat(size) })), texts]);
  });

  it('writes the handshake like torch', () => {
    const handle = Uint8Array.from({ length: 64 }, (_, i) => i);
    const size = 3 * 2 ** 31;
    expect(unpickle([encodeBuffer(handle, size)])).toEqual([
      {
        tuple: [
          { reference: 'torch.multiprocessing.reductions.rebuild_cuda_tensor' },
          {
            tuple: [
              { reference: 'torch.Tensor' },
              { size: [int(size)] },
              { tuple: [int(1)] },
              int(0),
              { reference: 'torch.storage.TypedStorage' },
              { reference: 'torch.uint8' },
              int(0),
              { bytes: Buffer.from(handle).toString('hex') },
              int(size),
              int(0),
              false,
              { bytes: Buffer.from('/torch_checkpoint_engine_uncounted').toString('hex') },
              int(0),
              { bytes: '' },
              false,
            ],
          },
        ],
      },
    ]);
  });

  it('writes the end messages: None, and an exception with its text', () => {
    const text = 'rank 3: "boom"\n\ud800';
    expect(unpickle([encodeNone(), encodeError(text), encodeBucket([])])).toEqual([
      null,
      { error: 'RuntimeError', args: [text] },
      [],
    ]);
  });
});

it('refuses integers that are no longer exact', () => {
  expect(() => write((pickle) => pickle.integer(2 ** 53))).toThrow(RangeError);
  expect(() => write((pickle) => pickle.integer(0.5))).toThrow(RangeError);
});

it('encodes a bucket of 8,192 tensors in negligible time', () => {
  const tensors = Array.from({ length: 8192 }, (_, i): BucketTensor => {
    const name = `model.layers.${i % 61}.mlp.experts.${i}.gate_proj.weight`;
    return { name, dtype: 'BF16', shape: [2048, 7168 + (i % 7)], offsetBytes: i * 2 ** 20, sizeBytes: 1 };
  });
  const times = Array.from({ length: 20 }, () => {
    const start = performance.now();
    encodeBucket(tensors);
    return performance.now() - start;
  });
  const best = Math.min(...times);
  console.log(`8,192 tensors in ${best.toFixed(2)} ms`);
  expect(best).toBeLessThan(100);
});
