import { digestBytes } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tensorList } from '../update/tensor-list.ts';
import { ExpectedDigests } from './expected-digests.ts';
import { heldWindows, keptTensors } from './held-windows.ts';
import { hashOf, Sampling } from './sampling.ts';

const BLOCK = 16;

/** Metas of ranks whose tensors have these sizes, and their digests. */
function worldOf(sizes: readonly (readonly number[])[]) {
  const metas = sizes.map((own, rank) => ({
    ...{ checkpoint: 'a', rank, regions: [] },
    tensors: own.map((sizeBytes, at) => ({ name: `tensor.${rank}.${at}`, sizeBytes })),
  })) as unknown as RankMetas[];
  const gathered = new Map(
    metas.map(({ rank, tensors }) => {
      const blocks = tensors.flatMap(({ sizeBytes, name }) =>
        Array.from({ length: Math.ceil(sizeBytes / BLOCK) }, (_, block) => digestBytes(bytesOf(name, block), 0)),
      );
      return [rank, { blockBytes: BLOCK, blocks: BigUint64Array.from(blocks) }] as const;
    }),
  );
  return { metas, gathered };
}

const bytesOf = (name: string, block: number): Uint8Array =>
  Uint8Array.from({ length: 8 }, (_, at) => hashOf(`${name}:${block}:${at}`) & 255);

const sizes = fc.array(fc.array(fc.integer({ min: 1, max: 5 * BLOCK }), { maxLength: 6 }), {
  minLength: 1,
  maxLength: 4,
});

describe('heldWindows', () => {
  it('has the blocks that the sampling chooses, of all tensors that are kept, in order', () => {
    fc.assert(
      fc.property(sizes, fc.nat(1000), fc.func(fc.boolean()), (given, seed, isKept) => {
        const { metas, gathered } = worldOf(given);
        const all = metas.flatMap(({ rank, tensors }) => tensors.map((tensor, index) => ({ rank, index, ...tensor })));
        const kept = [...all.keys()].filter((at) => isKept(at));
        const expected = new ExpectedDigests({ metas, gathered, own: undefined });
        // As for a checkpoint so large that one block in four is chosen.
        const sampling = new Sampling('sample', seed, 64 * 2 ** 20);
        const { windows, unknown } = heldWindows(keptTensors(kept.toReversed(), tensorList(metas)), expected, sampling);
        const wanted = kept.flatMap((tensor) => {
          const { name, sizeBytes, rank, index } = all[tensor]!;
          const count = Math.ceil(sizeBytes / BLOCK);
          const first = metas[rank]!.tensors.slice(0, index).reduce(
            (sum, each) => sum + Math.ceil(each.sizeBytes / BLOCK),
            0,
          );
          return Array.from({ length: count }, (_, block) => block)
            .filter((block) => sampling.has(hashOf(name), block))
            .map((block) => ({
              ...{ tensor, name, offsetBytes: block * BLOCK },
              sizeBytes: Math.min(BLOCK, sizeBytes - block * BLOCK),
              expected: gathered.get(rank)!.blocks[first + block],
            }));
        });
        expect(windows).toEqual(wanted);
        expect(unknown).toEqual([]);
      }),
    );
  });

  it('has whole tensors if everything is verified, and reports tensors without digests', () => {
    const { metas, gathered } = worldOf([[40], [3, 90]]);
    gathered.delete(0);
    const expected = new ExpectedDigests({ metas, gathered, own: undefined });
    const found = heldWindows(keptTensors([0, 1, 2], tensorList(metas)), expected, new Sampling('full', 1, 133));
    const { blocks } = gathered.get(1)!;
    const sum = BigInt.asUintN(
      64,
      blocks.slice(1).reduce((a, b) => a + b, 0n),
    );
    expect(found).toEqual({
      windows: [
        { tensor: 1, name: 'tensor.1.0', offsetBytes: 0, sizeBytes: 3, expected: blocks[0] },
        { tensor: 2, name: 'tensor.1.1', offsetBytes: 0, sizeBytes: 90, expected: sum },
      ],
      unknown: [0],
    });
  });
});
