import { createHash } from 'node:crypto';
import { decode, encode } from '@msgpack/msgpack';
import { describe, expect, it } from 'vitest';
import { decodeWorldMetas, encodeWorldMetas, metasDigest } from './metas-codec.ts';
import type { RankMetas } from './parameter-meta.ts';

const HEAD_BYTES = 37;
const metasOf = (rank: number, fields: Partial<RankMetas> = {}): RankMetas => ({
  ...{ checkpoint: 'a', rank, host: 'h', deviceUuid: 'd', nics: [], regions: [{ sizeBytes: 4 }] },
  tensors: [{ name: `t${rank}`, dtype: 'U8', shape: [4], sizeBytes: 4, region: 0, offsetBytes: 0 }],
  ...fields,
});
const digests = { blockBytes: 4096, blocks: BigUint64Array.of(7n) };

describe('the version of the weights in metas', () => {
  it('survives encoding, with digests and without', () => {
    const version = { weightVersion: 'step-7' };
    for (const world of [
      [metasOf(0, version), metasOf(1, version)],
      [metasOf(0, { ...version, digests }), metasOf(1, version)],
    ]) {
      const encoded = encodeWorldMetas(world);
      expect(encoded[4]).toBe(3);
      expect(decodeWorldMetas(encoded)).toEqual(world);
    }
  });

  it('does not change the format of metas without it, nor the digest of the plan', () => {
    expect(encodeWorldMetas([metasOf(0, { digests })])[4]).toBe(2);
    expect(metasDigest([metasOf(0, { weightVersion: 'step-7' })])).toBe(metasDigest([metasOf(0)]));
  });

  it.each([
    ['ranks that differ', [metasOf(0, { weightVersion: 'a' }), metasOf(1, { weightVersion: 'b' })], /versions a and b/],
    ['a rank that has none', [metasOf(0, { weightVersion: 'a' }), metasOf(1)], /versions a and none/],
    ['an invalid version', [metasOf(0, { weightVersion: 'a b' })], /is "a b", expected/],
    ['the reserved version', [metasOf(0, { weightVersion: 'unknown' })], /is "unknown", expected/],
  ])('refuses %s', (_, world, message) => {
    expect(() => encodeWorldMetas(world)).toThrow(message);
  });

  it.each([
    ['unknown', new TextEncoder().encode('unknown')],
    ['of two lines', new TextEncoder().encode('a\nb')],
    ['empty', new Uint8Array(0)],
    ['not UTF-8', Uint8Array.of(0x61, 0xff)],
    ['too long', new Uint8Array(129).fill(0x61)],
  ])('refuses encoded metas whose version is %s', (_, column) => {
    const good = encodeWorldMetas([metasOf(0, { weightVersion: 'a' })]);
    const columns = decode(good.subarray(HEAD_BYTES)) as Uint8Array[];
    const payload = encode([...columns.slice(0, -1), column]);
    const hash = createHash('sha256').update(payload).digest();
    const forged = Uint8Array.from([...good.subarray(0, 5), ...hash, ...payload]);
    expect(() => decodeWorldMetas(forged)).toThrow(expect.objectContaining({ code: 'CE_METAS_INVALID' }));
  });
});
