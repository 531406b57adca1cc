import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteWriter } from './byte-writer.ts';
import { DTYPES, type DType } from './dtype.ts';
import {
  checkpointOfMetas,
  decodeRankMetas,
  decodeWorldMetas,
  encodeRankMetas,
  encodeWorldMetas,
  metasDigest,
} from './metas-codec.ts';
import type { ParameterMeta, PoolRegion, RankMetas } from './parameter-meta.ts';
import { tensorBytes } from './tensor-bytes.ts';

const HEAD_BYTES = 37;

function failure(act: () => unknown): CheckpointEngineError {
  try {
    act();
  } catch (error) {
    if (CheckpointEngineError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** Metas of two tensors, of 4 and 6 bytes, in one region of 16. */
function small(): RankMetas {
  return {
    checkpoint: 'step-7',
    rank: 3,
    host: 'node-0',
    deviceUuid: 'GPU-1',
    nics: ['mlx5_0', 'mlx5_1'],
    regions: [{ sizeBytes: 16 }],
    tensors: [
      { name: 'a.weight', dtype: 'F32', shape: [], sizeBytes: 4, region: 0, offsetBytes: 2 },
      { name: 'a.bias', dtype: 'BF16', shape: [3], sizeBytes: 6, region: 0, offsetBytes: 8 },
    ],
  };
}

/** A payload with the matching head and digest. */
function withPayload(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES + payload.length);
  bytes.set(new TextEncoder().encode('CEMT\u0001'));
  bytes.set(createHash('sha256').update(payload).digest(), 5);
  bytes.set(payload, HEAD_BYTES);
  return bytes;
}

/** Lays tensors into regions, each filled in turn, with the gaps given. */
function layOut(
  specs: readonly { name: string; dtype: DType; shape: number[]; gap: number }[],
  regionCount: number,
): { tensors: ParameterMeta[]; sizes: number[] } {
  const sizes = new Array<number>(regionCount).fill(0);
  const perRegion = Math.max(1, Math.ceil(specs.length / regionCount));
  const tensors = specs.map(({ name, dtype, shape, gap }, i): ParameterMeta => {
    const region = Math.floor(i / perRegion);
    const sizeBytes = tensorBytes(dtype, shape);
    const offsetBytes = sizes[region]! + gap;
    sizes[region] = offsetBytes + sizeBytes;
    return { name, dtype, shape, sizeBytes, region, offsetBytes };
  });
  return { tensors, sizes };
}

const text = fc.string({ unit: 'grapheme' });
const tensorSpec = fc.record({
  name: fc.oneof(
    text,
    fc.tuple(fc.constantFrom('model.layers.1.', '😀😁', '😀😂'), text).map((parts) => parts.join('')),
  ),
  dtype: fc.constantFrom(...DTYPES),
  shape: fc.array(fc.nat(5), { maxLength: 3 }).map((shape) => [...shape, 4]),
  gap: fc.oneof(fc.constant(0), fc.nat(300), fc.nat(2 ** 48)),
});
const remote = fc.record({ address: text, sizeBytes: fc.maxSafeNat(), key: text }).map((fields) => ({ ...fields }));
const rankMetas: fc.Arbitrary<RankMetas> = fc
  .record(
    {
      checkpoint: text,
      rank: fc.maxSafeNat(),
      host: text,
      deviceUuid: text,
      p2pAddress: text,
      nics: fc.array(text),
      specs: fc.uniqueArray(tensorSpec, { selector: (spec) => spec.name, maxLength: 20 }),
      remotes: fc.array(fc.option(remote, { nil: undefined }), { minLength: 1, maxLength: 4 }),
    },
    { noNullPrototype: true, requiredKeys: ['checkpoint', 'rank', 'host', 'deviceUuid', 'nics', 'specs', 'remotes'] },
  )
  .map(({ specs, remotes, ...head }) => {
    const { tensors, sizes } = layOut(specs, remotes.length);
    const regions = sizes.map((sizeBytes, i): PoolRegion => {
      return remotes[i] === undefined ? { sizeBytes } : { sizeBytes, remote: remotes[i] };
    });
    return { ...head, regions, tensors };
  });
const world = fc.uniqueArray(rankMetas, { selector: (metas) => metas.rank, maxLength: 4 });

/** Tensors of a checkpoint of the size of Kimi-K2: 61 layers of which 60 have 384 experts. */
function kimiK2(): { name: string; dtype: DType; shape: number[] }[] {
  const tensors: { name: string; dtype: DType; shape: number[] }[] = [];
  const add = (name: string, dtype: DType, shape: number[]) => tensors.push({ name, dtype, shape });
  const linear = (name: string, out: number, input: number) => {
    add(`${name}.weight`, 'F8_E4M3', [out, input]);
    add(`${name}.weight_scale_inv`, 'F32', [Math.ceil(out / 128), Math.ceil(input / 128)]);
  };
  const mlp = (name: string, width: number) => {
    linear(`${name}.down_proj`, 7168, width);
    linear(`${name}.gate_proj`, width, 7168);
    linear(`${name}.up_proj`, width, 7168);
  };
  add('lm_head.weight', 'BF16', [163840, 7168]);
  add('model.embed_tokens.weight', 'BF16', [163840, 7168]);
  add('model.norm.weight', 'BF16', [7168]);
  for (let layer = 0; layer < 61; layer++) {
    const prefix = `model.layers.${layer}`;
    for (const norm of ['input', 'post_attention']) add(`${prefix}.${norm}_layernorm.weight`, 'BF16', [7168]);
    add(`${prefix}.self_attn.q_a_layernorm.weight`, 'BF16', [1536]);
    add(`${prefix}.self_attn.kv_a_layernorm.weight`, 'BF16', [512]);
    linear(`${prefix}.self_attn.q_a_proj`, 1536, 7168);
    linear(`${prefix}.self_attn.q_b_proj`, 12288, 1536);
    linear(`${prefix}.self_attn.kv_a_proj_with_mqa`, 576, 7168);
    linear(`${prefix}.self_attn.kv_b_proj`, 16384, 512);
    linear(`${prefix}.self_attn.o_proj`, 7168, 8192);
    if (layer === 0) {
      mlp(`${prefix}.mlp`, 18432);
      continue;
    }
    add(`${prefix}.mlp.gate.weight`, 'BF16', [384, 7168]);
    add(`${prefix}.mlp.gate.e_score_correction_bias`, 'F32', [384]);
    mlp(`${prefix}.mlp.shared_experts`, 2048);
    for (let expert = 0; expert < 384; expert++) mlp(`${prefix}.mlp.experts.${expert}`, 2048);
  }
  return tensors;
}

describe('metas codec', () => {
  it('decodes the encoded metas', { timeout: 60_000 }, () => {
    expect(decodeRankMetas(encodeRankMetas(small()))).toStrictEqual(small());
    fc.assert(
      fc.property(rankMetas, (metas) => {
        expect(decodeRankMetas(encodeRankMetas(metas))).toStrictEqual(metas);
      }),
    );
    fc.assert(
      fc.property(world, (metas) => {
        expect(decodeWorldMetas(encodeWorldMetas(metas))).toStrictEqual(metas);
      }),
    );
  });

  it('treats a field that is undefined as absent', () => {
    const metas = { ...small(), p2pAddress: undefined, regions: [{ sizeBytes: 16, remote: undefined }] };
    expect(encodeRankMetas(metas)).toEqual(encodeRankMetas(small()));
  });

  it('needs about one byte per tensor at the scale of Kimi-K2', { timeout: 60_000 }, () => {
    const list = kimiK2();
    expect(list.length).toBe(139_583);
    const perRank = Math.ceil(list.length / 16);
    const metas = Array.from({ length: 16 }, (_, rank): RankMetas => {
      const specs = list.slice(rank * perRank, (rank + 1) * perRank).map((tensor) => ({ ...tensor, gap: 0 }));
      const { tensors, sizes } = layOut(specs, 4);
      return {
        ...small(),
        rank,
        host: `node-${rank >> 3}`,
        regions: sizes.map((sizeBytes) => ({ sizeBytes })),
        tensors,
      };
    });
    const bytes = encodeWorldMetas(metas);
    expect(decodeWorldMetas(bytes)).toStrictEqual(metas);
    expect(bytes.length).toBeLessThan(150_000);
    expect(deflateSync(bytes, { level: 1 }).length).toBeLessThan(10_000);
  });

  it('supports names without common prefixes', () => {
    const specs = Array.from({ length: 5000 }, (_, i) => {
      const name = createHash('md5').update(String(i)).digest('hex');
      return { name, dtype: 'U8' as const, shape: [i], gap: i * 7 };
    });
    const { tensors, sizes } = layOut(specs, 1);
    const metas = { ...small(), tensors, regions: [{ sizeBytes: sizes[0]! }] };
    expect(decodeRankMetas(encodeRankMetas(metas))).toStrictEqual(metas);
  });
});

describe('checkpointOfMetas', () => {
  it('returns the checkpoint of the first rank', () => {
    fc.assert(
      fc.property(world, (metas) => {
        expect(checkpointOfMetas(encodeWorldMetas(metas))).toBe(metas[0]?.checkpoint);
      }),
    );
  });

  it('does not decode the tensors', () => {
    const damaged = encodeRankMetas(small());
    damaged[damaged.length - 1]! ^= 0xff;
    expect(() => decodeWorldMetas(damaged)).toThrow(/SHA-256/);
    expect(checkpointOfMetas(damaged)).toBe(small().checkpoint);
  });

  it('rejects other bytes with a typed error', () => {
    const bytes = encodeRankMetas(small());
    for (let length = 0; length < bytes.length; length++) {
      expect(() => checkpointOfMetas(bytes.subarray(0, length))).toThrow(CheckpointEngineError);
    }
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
        const changed = bytes.slice();
        changed[at] = byte;
        try {
          checkpointOfMetas(changed);
        } catch (error) {
          expect(error).toMatchObject({ code: 'CE_METAS_INVALID' });
        }
      }),
    );
  });
});

describe('encodeWorldMetas', () => {
  const change = (at: number, fields: Partial<ParameterMeta>): RankMetas => {
    const metas = small();
    return { ...metas, tensors: metas.tensors.map((tensor, i) => (i === at ? { ...tensor, ...fields } : tensor)) };
  };
  it.each<[string, RankMetas, RegExp, string?]>([
    ['a missing region', change(1, { region: 1 }), /region is 1, expected one below 1/, 'a.bias'],
    ['a negative region', change(0, { region: -1 }), /region is -1/, 'a.weight'],
    [
      'regions out of order',
      { ...change(0, { region: 1 }), regions: [{ sizeBytes: 16 }, { sizeBytes: 16 }] },
      /pool order/,
      'a.bias',
    ],
    ['an overlap', change(1, { offsetBytes: 5 }), /offset is 5, expected at least 6/, 'a.bias'],
    ['a negative offset', change(0, { offsetBytes: -1 }), /offset is -1/, 'a.weight'],
    ['an offset that is not a whole number', change(1, { offsetBytes: 8.5 }), /offset is 8.5/, 'a.bias'],
    [
      'a tensor outside its region',
      change(1, { offsetBytes: 11 }),
      /ends at 17, outside region 0 of 16 bytes/,
      'a.bias',
    ],
    ['a size that differs', change(0, { sizeBytes: 5 }), /has 5 bytes, expected 4/, 'a.weight'],
    ['an invalid dtype', change(0, { dtype: 'F128' as DType }), /Unknown dtype/, 'a.weight'],
    ['an invalid shape', change(1, { shape: [-3] }), /Dimension -3/, 'a.bias'],
    ['a name twice', change(1, { name: 'a.weight' }), /rank 3 has it twice/, 'a.weight'],
    ['half of a surrogate pair', change(1, { name: '\ud83d' }), /surrogate/],
    ['half of a surrogate pair elsewhere', { ...small(), host: '\udc00' }, /surrogate/],
    ['a negative rank', { ...small(), rank: -1 }, /the rank is -1/],
    ['a region of no size', { ...small(), regions: [{ sizeBytes: Number.NaN }] }, /size of a region is NaN/],
    [
      'an invalid remote size',
      { ...small(), regions: [{ sizeBytes: 16, remote: { address: '0', sizeBytes: 1.5, key: '' } }] },
      /remote size of a region is 1.5/,
    ],
  ])('refuses %s', (_, metas, message, tensor) => {
    for (const act of [() => encodeRankMetas(metas), () => metasDigest([metas])]) {
      const error = failure(act);
      expect(error.message).toMatch(message);
      expect(error).toMatchObject({ code: 'CE_METAS_INVALID', tensor });
    }
  });

  it('refuses a rank that appears twice', () => {
    expect(failure(() => encodeWorldMetas([small(), small()]))).toMatchObject({
      code: 'CE_METAS_INVALID',
      message: 'Metas: rank 3 appears twice, expected each rank once',
    });
  });
});

describe('decodeWorldMetas', () => {
  const good = encodeRankMetas(small());
  const payload = good.subarray(HEAD_BYTES);
  const columns = decode(payload) as Uint8Array[];
  const withColumns = (changed: Record<number, number[]>) =>
    withPayload(encode(columns.map((column, i) => (changed[i] === undefined ? column : Uint8Array.from(changed[i])))));
  const withColumn = (at: number, bytes: number[]) => withColumns({ [at]: bytes });
  const set = (at: number, value: number) => Uint8Array.from(good, (byte, i) => (i === at ? value : byte));
  const [strings = [], kinds = [], steps = [], ranks = [], tensors = [], gaps = []] = columns.map((c) => [...c]);
  /** Rank 3 without NICs and regions. */
  const NO_TENSORS = [0, 3, 0, 0, 0, 0, 0];
  const HUGE = [0xff, 0xff, 0xff, 0xff, 0x0f];

  it.each<[string, Uint8Array, RegExp]>([
    ['no bytes', new Uint8Array(0), /do not begin with "CEMT"/],
    ['other bytes', new TextEncoder().encode('{"metas": []}'), /do not begin with "CEMT"/],
    ['another version', set(4, 4), /version is 4, expected version 1, 2 or 3/],
    ['a version that has more columns', set(4, 3), /not an array of 8 columns/],
    ['only the magic', good.slice(0, 4), /version is missing/],
    ['half a digest', good.slice(0, 20), /truncated or changed/],
    ['one byte less', good.slice(0, -1), /truncated or changed/],
    ['one byte more', Uint8Array.from([...good, 0]), /truncated or changed/],
    ['a changed byte', set(good.length - 1, good.at(-1)! ^ 1), /truncated or changed/],
    ['no msgpack', withPayload(Uint8Array.of(0xc1)), /not msgpack/],
    ['no payload', withPayload(new Uint8Array(0)), /not msgpack/],
    ['an array of 2^32 - 1', withPayload(Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)), /not msgpack/],
    ['another value', withPayload(encode(5)), /not an array of 6 columns/],
    ['too few columns', withPayload(encode(columns.slice(1))), /not an array of 6 columns/],
    ['an invalid column', withPayload(encode([...columns.slice(1), 5])), /not an array of 6 columns/],
    ['a huge count of strings', withColumn(0, HUGE), /string column announces 4294967295 items but has 0 bytes/],
    ['a huge string', withColumn(0, [1, ...HUGE]), /string column has 0 bytes left, expected 4294967295/],
    ['a string that is not UTF-8', withColumn(0, [1, 1, 0xff]), /not UTF-8/],
    ['a string too many bytes', withColumn(0, [...strings, 0]), /string column has 1 bytes too many/],
    ['a huge number of kinds', withColumn(1, HUGE), /kind column announces/],
    ['a kind without a dtype', withColumn(1, [1, 0, 0]), /"step-7" is not a dtype/],
    [
      'a kind too large',
      withColumn(1, [
        1,
        kinds[1]!,
        2,
        ...Array(2)
          .fill([...Array(6).fill(255), 1])
          .flat(),
      ]),
      /more elements/,
    ],
    ['a number above 2^53', withColumn(1, [2, 255, 255, 255, 255, 255, 255, 255, 127]), /above 2\^53/],
    ['a number that does not end', withColumn(4, [0x80]), /tensor column ends within a number/],
    ['a step of no string', withColumn(2, [1, 0, 99, 0]), /names item 99 of a table/],
    ['a step that shares too much', withColumn(2, [2, 9, ...steps.slice(2)]), /shares 9 characters with ""/],
    ['a tensor of no step', withColumn(4, [7, 7]), /tensor column names item 7 of a table of 2/],
    ['a tensor too few', withColumn(4, tensors.slice(0, -1)), /tensor column ends/],
    ['a tensor too many', withColumn(4, [...tensors, 0]), /tensor column has 1 bytes too many/],
    ['an empty run', withColumn(5, [2, 0]), /has an empty run/],
    ['a run too long', withColumn(5, [2, 3]), /gap column covers 1 tensors too many/],
    ['gaps too many', withColumn(5, [...gaps, 1, 1]), /gap column has 2 bytes too many/],
    ['a gap that leaves the region', withColumn(5, [2, 1, 5, 1]), /ends at 17, outside its region of 16/],
    ['a huge number of ranks', withColumn(3, HUGE), /rank column announces/],
    ['a rank too many bytes', withColumn(3, [...ranks, 0]), /rank column has 1 bytes too many/],
    [
      'a missing address',
      withColumn(
        3,
        ranks.map((byte, i) => (i === 5 ? 99 : byte)),
      ),
      /names string 98/,
    ],
    ['a rank twice', withColumns({ 3: [2, ...NO_TENSORS, ...NO_TENSORS], 4: [], 5: [] }), /rank 3 appears twice/],
  ])('refuses %s', (_, bytes, message) => {
    const error = failure(() => decodeWorldMetas(bytes));
    expect(error.message).toMatch(message);
    expect(error.code).toBe('CE_METAS_INVALID');
  });

  it('refuses a bomb: few bytes that require unlimited names', () => {
    const naturals = (...values: number[]) => {
      const writer = new ByteWriter();
      for (const value of values) writer.natural(value);
      return writer.view();
    };
    const count = 2 ** 18;
    const strings = [...naturals(4, 1, 2, 1024, 0), ...new TextEncoder().encode(`cU8${'x'.repeat(1024)}`)];
    const bomb = [
      Uint8Array.from(strings),
      naturals(1, 1, 1, 0),
      naturals(2, 0, 2, 0, 1024, 3, 0),
      naturals(1, 0, 0, 0, 0, 0, 0, 1, 0, count, 0),
      new Uint8Array(count).fill(1, 1),
      naturals(0, count),
    ];
    expect(failure(() => decodeWorldMetas(withPayload(encode(bomb)))).message).toMatch(
      /names together exceed 134217728/,
    );
  });

  it('refuses few bytes that name millions of tensors, without decoding them', () => {
    const count = 1_000_001;
    const writer = new ByteWriter();
    for (const value of [1, 0, 0, 0, 0, 0, 0, 1, 100, count, 0]) writer.natural(value);
    const columns = [
      Uint8Array.from([3, 1, 2, 0, ...new TextEncoder().encode('xU8')]),
      Uint8Array.from([1, 1, 1, 0]),
      Uint8Array.from([1, 0, 0, 0]),
      writer.view(),
      new Uint8Array(count),
      Uint8Array.from([0, 1]),
    ];
    expect(failure(() => decodeWorldMetas(withPayload(encode(columns)))).message).toMatch(
      /name 1000001 tensors, expected at most 1000000/,
    );
  });

  it('refuses a shape of millions of dimensions', () => {
    const writer = new ByteWriter();
    for (const value of [1, 1, 1_000]) writer.natural(value);
    const kinds = new Uint8Array([...writer.view(), ...new Uint8Array(1_000).fill(1)]);
    const columns = [Uint8Array.from([3, 1, 2, 0, ...new TextEncoder().encode('xU8')]), kinds];
    const rest = [Uint8Array.from([0]), Uint8Array.from([0]), new Uint8Array(0), new Uint8Array(0)];
    expect(failure(() => decodeWorldMetas(withPayload(encode([...columns, ...rest])))).message).toMatch(
      /a list has 1000 items, expected at most 256/,
    );
  });

  it('of one rank refuses a world', () => {
    const two = encodeWorldMetas([small(), { ...small(), rank: 4 }]);
    expect(failure(() => decodeRankMetas(two)).message).toBe('Metas: they belong to 2 ranks, expected one');
    expect(failure(() => decodeRankMetas(encodeWorldMetas([]))).message).toMatch(/to 0 ranks/);
  });

  it('throws only CE_METAS_INVALID for damaged bytes, with and without a matching digest', {
    timeout: 60_000,
  }, () => {
    const changes = fc.array(fc.tuple(fc.nat(10_000), fc.nat(255)), { minLength: 1, maxLength: 4 });
    const check = (bytes: Uint8Array) => {
      try {
        encodeWorldMetas(decodeWorldMetas(bytes));
      } catch (error) {
        expect(error).toMatchObject({ code: 'CE_METAS_INVALID' });
      }
    };
    fc.assert(
      fc.property(rankMetas, changes, fc.nat(10_000), (metas, edits, cut) => {
        const bytes = encodeRankMetas(metas);
        for (const [at, value] of edits) bytes[at % bytes.length] = value;
        check(bytes);
        check(bytes.subarray(0, cut % bytes.length));
        check(withPayload(bytes.subarray(HEAD_BYTES)));
        check(withPayload(bytes.subarray(HEAD_BYTES, Math.max(HEAD_BYTES, cut % bytes.length))));
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => check(withPayload(bytes))),
      { numRuns: 500 },
    );
  });
});

describe('metasDigest', () => {
  it('is the same for equal metas in any order of ranks, and for what was decoded', () => {
    const metas = [5, 1, 3].map((rank) => ({ ...small(), rank }));
    const digest = metasDigest(metas);
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    expect(metasDigest([...metas].reverse())).toBe(digest);
    expect(metasDigest(decodeWorldMetas(encodeWorldMetas(metas)))).toBe(digest);
  });

  it('differs for every change', () => {
    const base = small();
    const [first, second] = base.tensors as [ParameterMeta, ParameterMeta];
    const variants: RankMetas[] = [
      base,
      { ...base, rank: 4 },
      { ...base, checkpoint: 'step-8' },
      { ...base, host: 'node-1' },
      { ...base, deviceUuid: 'GPU-2' },
      { ...base, p2pAddress: '' },
      { ...base, p2pAddress: '10.0.0.1:1' },
      { ...base, nics: ['mlx5_0'] },
      { ...base, regions: [{ sizeBytes: 17 }] },
      { ...base, regions: [{ sizeBytes: 16 }, { sizeBytes: 0 }] },
      { ...base, regions: [{ sizeBytes: 16, remote: { address: '1', sizeBytes: 16, key: '' } }] },
      { ...base, tensors: [first] },
      { ...base, tensors: [{ ...first, name: 'b' }, second] },
      { ...base, tensors: [{ ...first, dtype: 'I32' }, second] },
      { ...base, tensors: [{ ...first, shape: [1] }, second] },
      { ...base, tensors: [{ ...first, offsetBytes: 1 }, second] },
    ];
    expect(new Set(variants.map((metas) => metasDigest([metas]))).size).toBe(variants.length);
  });
});
