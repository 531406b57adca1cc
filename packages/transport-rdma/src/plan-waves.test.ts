import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Piece, planWaves } from './plan-waves.ts';

const piece = (segment: number, offset: number, remote: number, size: number): Piece => ({
  segment,
  offset,
  remoteAddress: BigInt(remote),
  size,
});

describe('planWaves', () => {
  test('joins only pieces that are contiguous on both sides', () => {
    const limits = { blockBytes: 1000, waveBlocks: 10 };
    const pieces = [piece(0, 10, 110, 5), piece(0, 0, 100, 10), piece(0, 20, 115, 5), piece(1, 25, 120, 5)];
    expect(planWaves(pieces, limits)).toEqual([[piece(0, 0, 100, 15), piece(0, 20, 115, 5), piece(1, 25, 120, 5)]]);
  });

  test('cuts into blocks and waves', () => {
    expect(planWaves([piece(0, 0, 100, 25)], { blockBytes: 10, waveBlocks: 2 })).toEqual([
      [piece(0, 0, 100, 10), piece(0, 10, 110, 10)],
      [piece(0, 20, 120, 5)],
    ]);
    expect(planWaves([piece(0, 0, 100, 0)], { blockBytes: 10, waveBlocks: 2 })).toEqual([]);
  });

  test('moves every byte once, to its place, within the limits', () => {
    const sizes = fc.array(fc.record({ size: fc.nat(40), gap: fc.nat(2), far: fc.nat(2) }), { maxLength: 30 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 5 }), (parts, block, wave) => {
        let offset = 0;
        let remote = 1000;
        const pieces = parts.map(({ size, gap, far }) => {
          const one = piece(0, offset, remote, size);
          offset += size + gap;
          remote += size + far;
          return one;
        });
        const bytes = (all: readonly Piece[]): string[] =>
          all
            .flatMap((one) =>
              Array.from({ length: one.size }, (_, i) => `${Number(one.remoteAddress) + i}>${one.offset + i}`),
            )
            .sort();
        const waves = planWaves([...pieces].reverse(), { blockBytes: block, waveBlocks: wave });
        expect(bytes(waves.flat())).toEqual(bytes(pieces));
        for (const blocks of waves) expect(blocks.length).toBeLessThanOrEqual(wave);
        for (const { size } of waves.flat()) expect(size).toBeLessThanOrEqual(block);
      }),
    );
  });
});
