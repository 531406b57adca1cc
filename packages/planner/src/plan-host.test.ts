import type { Needs } from '@checkpoint-engine/interface';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type HostChunk, planHost } from './plan-host.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Whole tensors. */
function wholeOf(tensors: readonly number[], sizes: readonly number[]): Needs {
  const bytes = Float64Array.from(tensors, (tensor) => sizes[tensor]!);
  return {
    tensor: Uint32Array.from(tensors),
    offsetBytes: new Float64Array(tensors.length),
    rows: new Float64Array(tensors.length).fill(1),
    ...{ rowBytes: bytes, pitchBytes: bytes, rest: new Uint32Array(0) },
  };
}

/** Ranks 0 and 1 are on this host with a NIC each, ranks 2 and 3 on another. */
function plan(
  sizes: readonly number[],
  owners: readonly number[],
  [kept, compared]: readonly [readonly number[], readonly number[]],
  limits: { readonly bucketBytes?: number; readonly hostMemoryBytes?: readonly number[] } = {},
) {
  const remoteTopology = new Map([0, 1, 2, 3].map((rank) => [`nic-${rank}`, new Set([rank])]));
  const localTopology = new Map([0, 1].map((rank) => [`nic-${rank}`, new Set([rank])]));
  return planHost({
    ownerOf: Int32Array.from(owners),
    needs: new Map([[0, wholeOf(kept, sizes)]]),
    compared: new Map([[1, wholeOf(compared, sizes)]]),
    readers: { local: new Set([0, 1]), localTopology, remoteTopology },
    ...limits,
  });
}

/** By tensor, the bytes in chunks. */
function bytesOf(chunks: readonly HostChunk[]): Map<number, number> {
  const bytes = new Map<number, number>();
  for (const { tensor, rangeBytes } of chunks)
    for (const [at, index] of tensor.entries()) bytes.set(index, (bytes.get(index) ?? 0) + rangeBytes[at]!);
  return bytes;
}

describe('planHost', () => {
  it('has every byte that is kept or compared in one chunk, unless workers have it, in rings of a few chunks', () => {
    const worlds = fc.integer({ min: 1, max: 12 }).chain((count) =>
      fc.record({
        sizes: fc.array(fc.integer({ min: 1, max: 90 * KIB }), { minLength: count, maxLength: count }),
        owners: fc.array(fc.integer({ min: -1, max: 3 }), { minLength: count, maxLength: count }),
        kept: fc.uniqueArray(fc.nat(count - 1)),
        compared: fc.uniqueArray(fc.nat(count - 1)),
        bucketBytes: fc.constantFrom(4096, 10_000, MIB),
      }),
    );
    fc.assert(
      fc.property(worlds, ({ sizes, owners, kept, compared, bucketBytes }) => {
        const { chunks, proof, ringBytes } = plan(sizes, owners, [kept, compared], { bucketBytes });
        for (const [tensors, moved] of [
          [kept, bytesOf(chunks)],
          [compared, bytesOf(proof)],
        ] as const) {
          const wanted = tensors.filter((tensor) => owners[tensor] !== -1);
          expect(moved).toEqual(new Map([...moved.keys()].map((tensor) => [tensor, sizes[tensor]!])));
          expect([...moved.keys()].sort()).toEqual(wanted.sort());
        }
        const all = [...chunks, ...proof];
        expect(all.map(({ index }) => index)).toEqual([...all.keys()]);
        for (const { place, sizeBytes, readerRank, ownerRank } of all) {
          expect(place.offsetBytes + sizeBytes).toBeLessThanOrEqual(ringBytes.get(readerRank)!);
          expect(sizeBytes).toBeLessThanOrEqual(bucketBytes);
          if (ownerRank < 2) expect(readerRank).toBe(ownerRank);
        }
      }),
    );
  });

  it('has rings within the least host memory of a rank, and chunks of a fourth of it', () => {
    const { chunks, ringBytes } = plan([64 * MIB], [2], [[0], []], { hostMemoryBytes: [8 * MIB, 4 * MIB] });
    expect(Math.max(...ringBytes.values())).toBe(4 * MIB);
    expect(Math.max(...chunks.map(({ sizeBytes }) => sizeBytes))).toBe(MIB);
  });

  it('has no chunks and no rings if workers have everything', () => {
    expect(plan([100, 200], [-1, -1], [[0, 1], [0]])).toEqual({ chunks: [], proof: [], ringBytes: new Map() });
  });
});
