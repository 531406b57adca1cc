import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Needs } from '@checkpoint-engine/interface';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keptTensors } from '../process/kept-tensors.ts';
import { readNeedsFile, writeNeedsFile } from './needs-file.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'needs-'));
});
afterAll(() => rm(folder, { recursive: true }));

type Box = readonly [index: number, offset: number, rows: number, rowBytes: number, pitch: number];

const needsOf = (boxes: readonly Box[], rest: readonly number[]): Needs => ({
  tensor: Uint32Array.from(boxes, (box) => box[0]),
  offsetBytes: Float64Array.from(boxes, (box) => box[1]),
  rows: Float64Array.from(boxes, (box) => box[2]),
  rowBytes: Float64Array.from(boxes, (box) => box[3]),
  pitchBytes: Float64Array.from(boxes, (box) => box[4]),
  rest: Uint32Array.from(rest),
});

/** By byte of each tensor, whether it is kept. */
function keptBytes(needs: Needs, sizes: readonly number[]): string[] {
  const bytes = sizes.map((size) => new Uint8Array(size));
  for (const index of needs.rest) bytes[index]!.fill(1);
  for (const [at, index] of needs.tensor.entries()) {
    for (let row = 0; row < needs.rows[at]!; row++) {
      const start = needs.offsetBytes[at]! + row * needs.pitchBytes[at]!;
      bytes[index]!.fill(1, start, start + needs.rowBytes[at]!);
    }
  }
  return bytes.map((own) => own.join(''));
}

const SIZES = [0, 1, 7, 24, 60];

const box = fc
  .record({
    index: fc.integer({ min: 1, max: SIZES.length - 1 }),
    rows: fc.integer({ min: 1, max: 4 }),
    rowBytes: fc.integer({ min: 1, max: 9 }),
    gap: fc.integer({ min: 0, max: 5 }),
    offset: fc.integer({ min: 0, max: 59 }),
  })
  .map(({ index, rows, rowBytes, gap, offset }): Box => {
    return [index, offset, rows, rowBytes, rows === 1 ? rowBytes : rowBytes + gap];
  })
  .filter(([index, offset, rows, rowBytes, pitch]) => offset + (rows - 1) * pitch + rowBytes <= SIZES[index]!);

describe('a file of needs', () => {
  it('keeps the needs that workers reported', async () => {
    const tensors = SIZES.map((sizeBytes, index) => ({ name: `t.${index}`, sizeBytes }));
    const arbitraryNeeds = fc
      .record({ boxes: fc.array(box, { maxLength: 6 }), rest: fc.uniqueArray(fc.integer({ min: 0, max: 4 })) })
      .map(({ boxes, rest }) =>
        needsOf(
          boxes.filter(([index]) => !rest.includes(index)),
          rest,
        ),
      );
    await fc.assert(
      fc.asyncProperty(fc.array(arbitraryNeeds, { minLength: 1, maxLength: 3 }), async (byRank) => {
        const path = join(folder, 'needs.json');
        await writeNeedsFile(
          { path, flag: '--save-needs' },
          byRank.map((needs) => keptTensors(needs, tensors)),
        );
        const read = await readNeedsFile(path, tensors, byRank.length);
        for (const [rank, needs] of byRank.entries()) {
          expect(keptBytes(read.get(rank)!, SIZES)).toEqual(keptBytes(needs, SIZES));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('has "whole" for a tensor that is kept completely', () => {
    const tensors = [
      { name: 'a', sizeBytes: 8 },
      { name: 'b', sizeBytes: 8 },
      { name: 'c', sizeBytes: 8 },
    ];
    const boxes: Box[] = [
      [2, 0, 2, 2, 4],
      [1, 0, 1, 8, 8],
    ];
    expect(keptTensors(needsOf(boxes, [0]), tensors)).toEqual({ a: 'whole', b: 'whole', c: [[0, 2, 2, 4]] });
  });

  it('names the flag of a file that cannot be written', async () => {
    const file = { path: join(folder, 'nowhere', 'needs.json'), flag: '--save-needs' };
    await expect(writeNeedsFile(file, [{}])).rejects.toMatchObject({
      code: 'CE_CONFIG_INVALID',
      message: expect.stringContaining('--save-needs'),
    });
  });
});
