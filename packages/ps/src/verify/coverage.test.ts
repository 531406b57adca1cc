import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesWithin, type CoveredBox, coverGroups, timesCovered } from './coverage.ts';

const run = (offsetBytes: number, rowBytes: number): CoveredBox => {
  return { offsetBytes, rows: 1, rowBytes, pitchBytes: rowBytes };
};
const columns = (offsetBytes: number, rows: number, rowBytes: number, pitchBytes: number): CoveredBox => {
  return { offsetBytes, rows, rowBytes, pitchBytes };
};

function counts(boxes: readonly CoveredBox[], sizeBytes: number): number[] {
  const found = Array<number>(sizeBytes).fill(0);
  for (const { offsetBytes, rows, rowBytes, pitchBytes } of boxes) {
    for (let row = 0; row < rows; row++) {
      for (let byte = 0; byte < rowBytes; byte++) found[offsetBytes + row * pitchBytes + byte]! += 1;
    }
  }
  return found;
}

const SIZE = 24;
const box = fc
  .record({
    offset: fc.nat(SIZE - 1),
    rows: fc.integer({ min: 1, max: 4 }),
    width: fc.integer({ min: 1, max: 12 }),
    gap: fc.nat(6),
  })
  .map(({ offset, rows, width, gap }) => columns(offset, rows, width, rows === 1 ? width : width + gap))
  .filter(({ offsetBytes, rows, rowBytes, pitchBytes }) => offsetBytes + (rows - 1) * pitchBytes + rowBytes <= SIZE);

describe('timesCovered', () => {
  it.each([
    ['all at once', [run(0, SIZE)], 1],
    ['halves', [run(0, 12), run(12, 12)], 1],
    ['halves that two ranks hold each', [run(0, 12), run(12, 12), run(12, 12), run(0, 12)], 2],
    ['columns', [columns(0, 4, 2, 6), columns(2, 4, 4, 6)], 1],
    ['columns and a run of all', [columns(0, 4, 2, 6), columns(2, 4, 4, 6), run(0, SIZE)], 2],
    ['a gap and a byte twice', [run(0, 12), run(11, 12)], 0],
    ['one half twice', [run(0, 12), run(0, 12)], 0],
    ['a part', [run(0, 12)], 0],
  ])('%s', (_, boxes, times) => {
    expect(timesCovered(boxes, SIZE)).toBe(times);
  });

  it('agrees with a count of every byte', () => {
    fc.assert(
      fc.property(fc.array(box, { minLength: 1, maxLength: 5 }), (boxes) => {
        const found = counts(boxes, SIZE);
        const isEven = found.every((count) => count === found[0]);
        expect(timesCovered(boxes, SIZE)).toBe(isEven ? found[0] : 0);
      }),
      { numRuns: 2000 },
    );
  });

  it('refuses too many rows', () => {
    const rows = 2 ** 19;
    const boxes = [columns(0, rows, 1, 2), columns(1, rows - 1, 1, 2), run(2 * rows - 1, 1)];
    expect(timesCovered(boxes, 2 * rows)).toBe(0);
    expect(timesCovered([columns(0, rows, 1, 2), columns(1, rows, 1, 2)], 2 * rows)).toBe(1);
  });
});

describe('coverGroups', () => {
  it('has a group per rank with the complete tensor, and one group for ranks with slices', () => {
    const slices = new Map([
      [0, [run(0, SIZE)]],
      [1, [run(0, 12)]],
      [2, [run(12, 12)]],
    ]);
    expect(coverGroups(slices, SIZE)).toEqual({
      groups: [
        { ranks: [0], times: 1 },
        { ranks: [1, 2], times: 1 },
      ],
      left: [],
    });
    expect(coverGroups(new Map([[1, [run(0, 12)]]]), SIZE)).toEqual({ groups: [], left: [1] });
  });
});

describe('bytesWithin', () => {
  it('agrees with a count of every byte', () => {
    fc.assert(
      fc.property(fc.array(box, { maxLength: 4 }), fc.nat(SIZE), fc.nat(SIZE), (boxes, a, b) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        const expected = counts(boxes, SIZE).slice(from, to);
        expect(bytesWithin(boxes, from, to)).toBe(expected.reduce((sum, count) => sum + count, 0));
      }),
      { numRuns: 1000 },
    );
  });
});
