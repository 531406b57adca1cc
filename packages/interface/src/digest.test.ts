import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addDigests, digestBytes, digestText } from './digest.ts';

const { vectors, filled, boxes } = JSON.parse(
  readFileSync(new URL('../test-vectors/digests.json', import.meta.url), 'utf8'),
);
const fill = (sizeBytes: number): Uint8Array =>
  Uint8Array.from({ length: sizeBytes }, (_, i) => (i * 31 + Math.floor(i / 251)) % 256);

describe('digestBytes', () => {
  it.each(vectors as { name: string; bytes: string; positionBytes: number; digest: string }[])(
    'agrees with the vector of $name',
    ({ bytes, positionBytes, digest }) => {
      expect(digestText(digestBytes(Buffer.from(bytes, 'hex'), positionBytes))).toBe(digest);
    },
  );

  it.each(filled.vectors as { sizeBytes: number; positionBytes: number; digest: string }[])(
    'agrees with the vector of $sizeBytes bytes at $positionBytes',
    ({ sizeBytes, positionBytes, digest }) => {
      expect(digestText(digestBytes(fill(sizeBytes), positionBytes))).toBe(digest);
    },
  );

  it('digests a box as the sum of its rows, and a tensor as the sum of its boxes', () => {
    const tensor = fill(boxes.tensorBytes);
    for (const { offsetBytes, rows, rowBytes, pitchBytes, digest } of boxes.vectors) {
      const parts = Array.from({ length: rows }, (_, row) => {
        const at = offsetBytes + row * pitchBytes;
        return digestBytes(tensor.subarray(at, at + rowBytes), at);
      });
      expect(digestText(addDigests(parts))).toBe(digest);
    }
    const [whole, left, right] = boxes.vectors.map(({ digest }: { digest: string }) => BigInt(`0x${digest}`));
    expect(addDigests([left, right])).toBe(whole);
  });

  it('is the sum of the digests of its parts, for any division and in any order', () => {
    const cut = fc.record({
      bytes: fc.uint8Array({ maxLength: 10_000 }),
      position: fc.nat(9_000),
      cuts: fc.array(fc.nat(10_000)),
    });
    fc.assert(
      fc.property(cut, ({ bytes, position, cuts }) => {
        const edges = [0, ...cuts.filter((at) => at <= bytes.length).sort((a, b) => a - b), bytes.length];
        const parts = edges.slice(1).map((to, at) => digestBytes(bytes.subarray(edges[at], to), position + edges[at]!));
        expect(addDigests(parts.reverse())).toBe(digestBytes(bytes, position));
      }),
    );
  });

  it('changes with every flipped bit, and differs by position', () => {
    const bytes = fill(2 * 4096 + 3);
    const before = digestBytes(bytes);
    const seen = new Set<bigint>();
    for (let bit = 0; bit < bytes.length * 8; bit += 7) {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      seen.add(digestBytes(bytes));
      bytes[bit >> 3]! ^= 1 << (bit & 7);
    }
    expect(seen.has(before)).toBe(false);
    expect(seen.size).toBe(Math.ceil((bytes.length * 8) / 7));
  });

  it('rejects an invalid position', () => {
    for (const position of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => digestBytes(new Uint8Array(1), position)).toThrow(RangeError);
    }
  });
});
