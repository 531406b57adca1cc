import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { placeInRing } from './place-in-ring.ts';

describe('placeInRing', () => {
  it('uses equal buckets in turn', () => {
    expect(placeInRing([256, 256, 256, 256], 512)).toEqual([
      { offsetBytes: 0, after: -1 },
      { offsetBytes: 256, after: -1 },
      { offsetBytes: 0, after: 0 },
      { offsetBytes: 256, after: 1 },
    ]);
  });

  it('starts over where the rest of the ring is too short, and waits for all that it covers', () => {
    expect(placeInRing([256, 256, 768, 256, 256], 1024)).toEqual([
      { offsetBytes: 0, after: -1 },
      { offsetBytes: 256, after: -1 },
      { offsetBytes: 0, after: 1 },
      { offsetBytes: 768, after: 1 },
      { offsetBytes: 0, after: 2 },
    ]);
  });

  it('places empty buckets without waiting for more', () => {
    expect(placeInRing([256, 0, 256], 256)).toEqual([
      { offsetBytes: 0, after: -1 },
      { offsetBytes: 256, after: -1 },
      { offsetBytes: 0, after: 0 },
    ]);
  });

  it('refuses a bucket that is larger than the ring', () => {
    expect(() => placeInRing([256, 257], 256)).toThrow(RangeError);
  });

  it('never overlaps a bucket that may still be needed, and stays inside', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 60 }),
        fc.integer({ min: 0, max: 20_000 }),
        (sizes, spareBytes) => {
          const ringBytes = Math.ceil((Math.max(256, ...sizes) + spareBytes) / 256) * 256;
          const places = placeInRing(sizes, ringBytes);
          for (const [index, { offsetBytes, after }] of places.entries()) {
            expect(offsetBytes % 256).toBe(0);
            expect(offsetBytes + sizes[index]!).toBeLessThanOrEqual(ringBytes);
            expect(after).toBeLessThan(index);
            for (let other = after + 1; other < index; other++) {
              const [from, to] = [places[other]!.offsetBytes, places[other]!.offsetBytes + sizes[other]!];
              // An empty bucket overlaps no byte, wherever it is.
              expect(Math.max(from, offsetBytes)).toBeGreaterThanOrEqual(Math.min(to, offsetBytes + sizes[index]!));
            }
          }
        },
      ),
    );
  });
});
