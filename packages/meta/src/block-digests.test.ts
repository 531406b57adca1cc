import { digestBytes } from '@checkpoint-engine/interface';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkpointDigest, chooseBlockBytes, firstBlocks, tensorDigests } from './block-digests.ts';
import { decodeRankMetas, decodeWorldMetas, encodeRankMetas, encodeWorldMetas, metasDigest } from './metas-codec.ts';
import type { ParameterMeta, RankMetas } from './parameter-meta.ts';

const BLOCK_BYTES = 4096;
const HEAD_BYTES = 37;

interface Given {
  readonly name: string;
  readonly bytes: Uint8Array;
}

function metasOf(rank: number, given: readonly Given[], blockBytes = BLOCK_BYTES): RankMetas {
  let end = 0;
  const tensors = given.map(({ name, bytes }): ParameterMeta => {
    const offsetBytes = end;
    end += bytes.length;
    return { name, dtype: 'U8', shape: [bytes.length], sizeBytes: bytes.length, region: 0, offsetBytes };
  });
  const blocks = given.flatMap(({ bytes }) =>
    Array.from({ length: Math.ceil(bytes.length / blockBytes) }, (_, block) =>
      digestBytes(bytes.subarray(block * blockBytes, (block + 1) * blockBytes), block * blockBytes),
    ),
  );
  const place = { checkpoint: 'a', rank, host: 'h', deviceUuid: 'd', nics: [] };
  const digests = { blockBytes, blocks: BigUint64Array.from(blocks) };
  return { ...place, regions: [{ sizeBytes: end }], tensors, digests };
}

const bytes = (length: number, seed = 1): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + seed) % 256);
const without = ({ digests: _, ...metas }: RankMetas): RankMetas => metas;

describe('digests in metas', () => {
  const world = [
    metasOf(0, [
      { name: 'a', bytes: bytes(10_000) },
      { name: 'empty', bytes: bytes(0) },
      { name: 'b', bytes: bytes(4096, 2) },
    ]),
    metasOf(1, [{ name: 'c', bytes: bytes(3, 3) }]),
  ];

  it('survive encoding, even if only some ranks have them', () => {
    expect(decodeWorldMetas(encodeWorldMetas(world))).toEqual(world);
    const mixed = [without(world[0]!), world[1]!];
    expect(decodeWorldMetas(encodeWorldMetas(mixed))).toEqual(mixed);
    expect(decodeRankMetas(encodeRankMetas(world[0]!))).toEqual(world[0]);
  });

  it('survive encoding for any tensors', () => {
    const tensor = fc.record({ name: fc.string({ unit: 'grapheme' }), bytes: fc.uint8Array({ maxLength: 9000 }) });
    const given = fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 6 });
    fc.assert(
      fc.property(given, (tensors) => {
        const metas = metasOf(2, tensors);
        expect(decodeRankMetas(encodeRankMetas(metas))).toEqual(metas);
      }),
      { numRuns: 30 },
    );
  });

  it('do not change the format of metas without them', () => {
    const old = encodeWorldMetas(world.map(without));
    expect(old[4]).toBe(1);
    expect(encodeWorldMetas(world)[4]).toBe(2);
    expect(decodeWorldMetas(old)).toEqual(world.map(without));
  });

  it('do not change the digest of the metas, which identifies the plan', () => {
    expect(metasDigest(world)).toBe(metasDigest(world.map(without)));
    const decoded = decodeRankMetas(encodeRankMetas(world[0]!));
    expect(metasDigest([decoded])).toBe(metasDigest([without(world[0]!)]));
  });

  it('are rejected if their number or the size of a block is not possible', () => {
    const [metas] = world;
    const given = (digests: RankMetas['digests']) => () => encodeRankMetas({ ...metas!, digests });
    expect(given({ blockBytes: 4096, blocks: new BigUint64Array(3) })).toThrow(/digests of 3 blocks, expected 4/);
    expect(given({ blockBytes: 5000, blocks: new BigUint64Array(3) })).toThrow(/blocks of 5000 bytes/);
    expect(given({ blockBytes: 1024, blocks: new BigUint64Array(3) })).toThrow(/blocks of 1024 bytes/);
  });

  it('are rejected if the column is too short, too long or changed', async () => {
    const { decode, encode } = await import('@msgpack/msgpack');
    const { createHash } = await import('node:crypto');
    const encoded = encodeWorldMetas(world);
    const columns = decode(encoded.subarray(HEAD_BYTES)) as Uint8Array[];
    const withColumn = (column: Uint8Array): Uint8Array => {
      const payload = encode([...columns.slice(0, 6), column]);
      const hash = createHash('sha256').update(payload).digest();
      return Uint8Array.from([...encoded.subarray(0, 5), ...hash, ...payload]);
    };
    const column = columns[6]!;
    expect(() => decodeWorldMetas(withColumn(column.slice(0, -1)))).toThrow(/digest column has/);
    expect(() => decodeWorldMetas(withColumn(Uint8Array.from([...column, 0])))).toThrow(/1 bytes too many/);
    expect(() => decodeWorldMetas(withColumn(Uint8Array.from([3, ...column.slice(2)])))).toThrow(/blocks of 3 bytes/);
    const changed = encoded.slice();
    changed[changed.length - 1]! ^= 1;
    expect(() => decodeWorldMetas(changed)).toThrow(/SHA-256 differs/);
  });
});

describe('tensorDigests', () => {
  it('adds the blocks of each tensor', () => {
    const data = [bytes(10_000), bytes(0), bytes(5)];
    const metas = metasOf(
      0,
      data.map((each, index) => ({ name: `t${index}`, bytes: each })),
    );
    expect(tensorDigests(metas)).toEqual(data.map((each) => digestBytes(each)));
    expect(tensorDigests(without(metas))).toBeUndefined();
  });
});

describe('checkpointDigest', () => {
  const given = [
    { name: 'a', bytes: bytes(10_000) },
    { name: 'b', bytes: bytes(100, 2) },
    { name: 'c', bytes: bytes(3, 3) },
  ];
  const whole = checkpointDigest([metasOf(0, given)]);

  it('does not depend on the owners of tensors, on their order, or on the size of blocks', () => {
    expect(whole).toMatch(/^[0-9a-f]{32}$/);
    const [a, b, c] = given as [Given, Given, Given];
    expect(checkpointDigest([metasOf(0, [c]), metasOf(1, [b, a], 8192)])).toBe(whole);
    expect(checkpointDigest([metasOf(0, given), without(metasOf(1, []))])).toBeUndefined();
  });

  it('covers names, shapes and bytes', () => {
    const [a, b, c] = given as [Given, Given, Given];
    const changed = c.bytes.slice();
    changed[2]! ^= 0x80;
    const other = metasOf(0, given);
    const [first, ...rest] = other.tensors as [ParameterMeta, ...ParameterMeta[]];
    const reshaped = { ...other, tensors: [{ ...first, shape: [2, 5000] }, ...rest] };
    for (const metas of [
      metasOf(0, [a, b, { ...c, name: 'd' }]),
      metasOf(0, [a, b, { ...c, bytes: changed }]),
      reshaped,
    ]) {
      expect(checkpointDigest([metas])).not.toBe(whole);
    }
  });
});

describe('chooseBlockBytes', () => {
  it('grows with the bytes, and bounds the digests of a rank', () => {
    expect(chooseBlockBytes([{ sizeBytes: 10 }])).toBe(2 ** 20);
    const large = Array.from({ length: 1000 }, () => ({ sizeBytes: 2 ** 30 }));
    const blockBytes = chooseBlockBytes(large);
    expect(firstBlocks(large, blockBytes).at(-1)).toBeLessThanOrEqual(66_536);
    expect(Math.log2(blockBytes) % 1).toBe(0);
  });
});
