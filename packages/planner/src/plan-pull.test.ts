import type { Needs } from '@checkpoint-engine/interface';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assignPullReaders } from './assign-pull-readers.ts';
import { planPull } from './plan-pull.ts';

type Box = readonly [tensor: number, offset: number, rows: number, rowBytes: number, pitch: number];

const needsOf = (boxes: readonly Box[]): Needs => ({
  tensor: Uint32Array.from(boxes, (box) => box[0]),
  offsetBytes: Float64Array.from(boxes, (box) => box[1]),
  rows: Float64Array.from(boxes, (box) => box[2]),
  rowBytes: Float64Array.from(boxes, (box) => box[3]),
  pitchBytes: Float64Array.from(boxes, (box) => (box[2] === 1 ? box[3] : box[4])),
  rest: new Uint32Array(0),
});

/** Ranks that need each byte of each tensor. */
function usersOf(needs: ReadonlyMap<number, Needs>): Map<string, Set<number>> {
  const users = new Map<string, Set<number>>();
  for (const [rank, { tensor, offsetBytes, rows, rowBytes, pitchBytes }] of needs) {
    for (let at = 0; at < tensor.length; at++) {
      for (let row = 0; row < rows[at]!; row++) {
        for (let byte = 0; byte < rowBytes[at]!; byte++) {
          const key = `${tensor[at]}:${offsetBytes[at]! + row * pitchBytes[at]! + byte}`;
          users.set(key, (users.get(key) ?? new Set()).add(rank));
        }
      }
    }
  }
  return users;
}

/** Bytes between rows of boxes, which may be copied as well. */
function gapsOf(needs: ReadonlyMap<number, Needs>, gapBytes: number): Set<string> {
  const gaps = new Set<string>();
  for (const { tensor, offsetBytes, rows, rowBytes, pitchBytes } of needs.values()) {
    for (let at = 0; at < tensor.length; at++) {
      if (pitchBytes[at]! - rowBytes[at]! > gapBytes) continue;
      for (let byte = 0; byte < (rows[at]! - 1) * pitchBytes[at]!; byte++) {
        gaps.add(`${tensor[at]}:${offsetBytes[at]! + byte}`);
      }
    }
  }
  return gaps;
}

const box = fc.tuple(
  ...([fc.nat(5), fc.nat(2000), fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 500 })] as const),
  fc.nat(600),
);
const worlds = fc.record({
  needs: fc.array(fc.array(box, { maxLength: 8 }), { minLength: 1, maxLength: 4 }),
  owners: fc.array(fc.integer({ min: -1, max: 3 }), { minLength: 6, maxLength: 6 }),
  gapBytes: fc.constantFrom(0, 64, 1000),
});

describe('planPull', () => {
  it('delivers every needed byte once, and no others except gaps, to the ranks that need it', () => {
    fc.assert(
      fc.property(worlds, ({ needs: boxes, owners, gapBytes }) => {
        const needs = new Map(
          boxes.map((own, rank): [number, Needs] => [
            rank,
            needsOf(own.map(([tensor, offset, rows, size, gap]): Box => [tensor, offset, rows, size, size + gap])),
          ]),
        );
        const ownerOf = Int32Array.from(owners);
        const chunks = planPull({ ownerOf, needs, chunkBytes: 4096, gapBytes });
        const users = usersOf(needs);
        const gaps = gapsOf(needs, gapBytes);
        const brought = new Set<string>();
        for (const chunk of chunks) {
          const receivers = new Set(chunk.receivers);
          const wanted = new Set<number>();
          let lastEnd = 0;
          for (let at = 0; at < chunk.tensor.length; at++) {
            expect(ownerOf[chunk.tensor[at]!]).toBe(chunk.ownerRank);
            expect(chunk.offsetBytes[at]).toBeGreaterThanOrEqual(lastEnd);
            expect(chunk.offsetBytes[at]! % 256).toBe(chunk.tensorOffsetBytes[at]! % 256);
            lastEnd = chunk.offsetBytes[at]! + chunk.rangeBytes[at]!;
            for (let byte = 0; byte < chunk.rangeBytes[at]!; byte++) {
              const key = `${chunk.tensor[at]}:${chunk.tensorOffsetBytes[at]! + byte}`;
              // An `expect` per byte would take minutes.
              if (brought.has(key)) throw new Error(`byte ${key} comes twice`);
              if (!users.has(key) && !gaps.has(key)) throw new Error(`no rank needs byte ${key}`);
              brought.add(key);
              for (const rank of users.get(key) ?? []) wanted.add(rank);
            }
          }
          expect(lastEnd).toBe(chunk.sizeBytes);
          expect(chunk.sizeBytes).toBeLessThanOrEqual(4096);
          for (const rank of wanted) expect(receivers.has(rank)).toBe(true);
        }
        for (const key of users.keys()) {
          if (brought.has(key) !== ownerOf[Number(key.split(':')[0])]! >= 0) throw new Error(`byte ${key} is lost`);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('does not join rows that are far from each other', () => {
    const needs = new Map([[0, needsOf([[0, 0, 4, 100, 100_000]])]]);
    const [chunk, ...others] = planPull({ ownerOf: Int32Array.of(7), needs, chunkBytes: 2 ** 20 });
    expect(others).toEqual([]);
    expect([...chunk!.tensorOffsetBytes]).toEqual([0, 100_000, 200_000, 300_000]);
  });
});

describe('assignPullReaders', () => {
  it('gives each NIC its share of the remote chunks, and local owners their own chunks', () => {
    const boxes = Array.from({ length: 64 }, (_, tensor): Box => [tensor, 0, 1, 4096, 4096]);
    const ownerOf = Int32Array.from({ length: 64 }, (_, tensor) => tensor % 4);
    const chunks = planPull({ ownerOf, needs: new Map([[0, needsOf(boxes)]]), chunkBytes: 4096 });
    const read = assignPullReaders(chunks, {
      local: new Set([0]),
      localTopology: new Map([
        ['a', new Set([0])],
        ['b', new Set([1])],
      ]),
      remoteTopology: new Map([1, 2, 3].map((rank) => [`nic${rank}`, new Set([rank])])),
    });
    expect(read).toHaveLength(64);
    for (const { ownerRank, readerRank } of read) if (ownerRank === 0) expect(readerRank).toBe(0);
    const remote = read.filter(({ ownerRank }) => ownerRank !== 0);
    expect(remote.filter(({ readerRank }) => readerRank === 1)).toHaveLength(24);
    expect(new Set(read.slice(0, 2).map(({ readerRank }) => readerRank))).toEqual(new Set([0, 1]));
  });
});
