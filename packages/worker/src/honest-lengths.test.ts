import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assertHonestLengths } from './honest-lengths.ts';

/** Lengths at which msgpack changes its form. */
const text = fc.constantFrom(0, 1, 31, 32, 255, 256, 65_535, 65_536).map((length) => 'x'.repeat(length));
const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(
      null,
      true,
      false,
      0,
      127,
      128,
      255,
      65_535,
      65_536,
      2 ** 32,
      -1,
      -32,
      -33,
      -129,
      -40_000,
      -(2 ** 40),
    ),
    fc.double(),
    text,
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(fc.string({ maxLength: 40 }), tie('value'), { maxKeys: 20, noNullPrototype: true }),
  ),
})).value;

describe('assertHonestLengths', () => {
  it('passes everything that an encoder makes', () => {
    fc.assert(
      fc.property(value, (one) => assertHonestLengths(encode(one))),
      { numRuns: 500 },
    );
  });

  it('fails on every piece of it, and on every byte more', () => {
    fc.assert(
      fc.property(value, fc.nat(), (one, cut) => {
        const bytes = encode(one);
        expect(() => assertHonestLengths(bytes.subarray(0, cut % bytes.length))).toThrow(RangeError);
        expect(() => assertHonestLengths(Uint8Array.from([...bytes, 0]))).toThrow(RangeError);
      }),
    );
  });

  it('agrees with a decoder on bytes that nobody made', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (bytes) => {
        try {
          assertHonestLengths(bytes);
        } catch {
          return;
        }
        // What passes is one whole value: the decoder may dislike what is in it, never how long it is.
        try {
          decode(bytes);
        } catch (error) {
          expect(String(error)).not.toMatch(/Insufficient|Extra|range/i);
        }
      }),
      { numRuns: 3_000 },
    );
  });

  it('fails on a list that promises more than there is, and on too many lists', () => {
    expect(() => assertHonestLengths(Uint8Array.from([0xdd, 0x7f, 0xff, 0xff, 0xff, 0xc0]))).toThrow(RangeError);
    expect(() => assertHonestLengths(new Uint8Array(1_000_000).fill(0x90).fill(0x91, 0, 999_999))).toThrow(RangeError);
  });
});
