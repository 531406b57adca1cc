import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkMsgpack, type MsgpackLimits } from './check-msgpack.ts';

const WIDE: MsgpackLimits = { maxBytes: 2 ** 24, maxDepth: 64, maxValues: 1e6 };

/** Lengths at which msgpack changes its form. */
const text = fc.constantFrom(0, 1, 31, 32, 255, 256, 65_535, 65_536).map((length) => 'x'.repeat(length));
const numbers = [0, 127, 128, 255, 65_535, 65_536, 2 ** 32, -1, -32, -33, -129, -40_000, -(2 ** 40)];
const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, true, false, ...numbers),
    fc.double(),
    text,
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(fc.string({ maxLength: 40 }), tie('value'), { maxKeys: 20, noNullPrototype: true }),
  ),
})).value;

/** Nested lists, each of which declares `length` values. */
const bomb = (depth: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(5 * depth + 1).fill(0xc0);
  for (let level = 0; level < depth; level++) {
    bytes[5 * level] = 0xdd;
    new DataView(bytes.buffer).setUint32(5 * level + 1, length);
  }
  return bytes;
};

describe('checkMsgpack', () => {
  it('accepts all output of an encoder', () => {
    fc.assert(
      fc.property(value, (one) => checkMsgpack(encode(one), WIDE)),
      { numRuns: 500 },
    );
  });

  it('rejects every truncated message, and every additional byte', () => {
    fc.assert(
      fc.property(value, fc.nat(), (one, cut) => {
        const bytes = encode(one);
        expect(() => checkMsgpack(bytes.subarray(0, cut % bytes.length), WIDE)).toThrow(RangeError);
        expect(() => checkMsgpack(Uint8Array.from([...bytes, 0]), WIDE)).toThrow(RangeError);
      }),
    );
  });

  it('agrees with a decoder on arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (bytes) => {
        try {
          checkMsgpack(bytes, WIDE);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
          return;
        }
        // A message that passes is one complete value: the decoder may reject its contents, never its length.
        try {
          decode(bytes);
        } catch (error) {
          expect(String(error)).not.toMatch(/Insufficient|Extra|range/i);
        }
      }),
      { numRuns: 3_000 },
    );
  });

  it.each<[string, Uint8Array, Partial<MsgpackLimits>, RegExp]>([
    ['a list that declares more values than follow', bomb(1, 0x7fffffff), {}, /values/],
    ['a list that declares more values than its message has bytes', bomb(1, 999), {}, /longer than its message/],
    ['60 lists that each declare 30 million values', bomb(60, 30e6), {}, /values/],
    ['lists that nest too deep', new Uint8Array(100).fill(0x91).fill(0xc0, 99), { maxDepth: 98 }, /deeper than 98/],
    ['any list where there may be none', encode([]), { maxDepth: 0 }, /deeper than 0/],
    ['too many values', encode(Array(11).fill(0)), { maxValues: 10 }, /more than 10 values/],
    ['too many lists', encode(Array(11).fill([])), { maxContainers: 11 }, /more than 11 lists/],
    ['too many bytes', new Uint8Array(11), { maxBytes: 10 }, /11 bytes/],
    ['a key that is a number', Uint8Array.of(0x81, 1, 1), {}, /not text/],
    ['a key that is a list', Uint8Array.of(0x81, 0x90, 1), {}, /not text/],
    ['an extension type', Uint8Array.of(0xd4, 5, 0), {}, /extension/],
    ['a timestamp', Uint8Array.of(0xd6, 0xff, 0, 0, 0, 0), {}, /extension/],
    ['a large extension type', Uint8Array.of(0xc9, 0xff, 0xff, 0xff, 0xff, 5), {}, /extension/],
    ['the byte that msgpack never uses', Uint8Array.of(0xc1), {}, /not msgpack/],
    ['nothing', new Uint8Array(0), {}, /cut off/],
  ])('fails on %s', (_, bytes, limits, says) => {
    expect(() => checkMsgpack(bytes, { ...WIDE, ...limits })).toThrow(says);
  });

  it('accepts a message that is exactly at its limits', () => {
    checkMsgpack(encode([[], {}, 1]), { maxBytes: 4, maxDepth: 2, maxValues: 3, maxContainers: 3 });
  });
});
