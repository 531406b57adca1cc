import type { DType, ParameterMeta } from '@checkpoint-engine/meta';
import {
  boxBytes,
  divideModel,
  instanceSize,
  needsOf,
  type ParallelLayout,
  positionOf,
} from '@checkpoint-engine/planner';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeptBytes } from './chunk-bytes.ts';

const tensor = (name: string, dtype: DType, ...shape: number[]): ParameterMeta => {
  const sizeBytes = shape.reduce((product, size) => product * size, dtype === 'BF16' ? 2 : 4);
  return { name, dtype, shape, sizeBytes, region: 0, offsetBytes: 0 };
};
const tensors = [
  tensor('model.embed_tokens.weight', 'BF16', 37, 8),
  ...[0, 1, 2].flatMap((layer) => [
    tensor(`model.layers.${layer}.input_layernorm.weight`, 'BF16', 8),
    tensor(`model.layers.${layer}.self_attn.q_proj.weight`, 'BF16', 24, 8),
    tensor(`model.layers.${layer}.self_attn.k_proj.weight`, 'BF16', 256, 8),
    tensor(`model.layers.${layer}.self_attn.o_proj.weight`, 'BF16', 8, 24),
    ...[0, 1, 2, 3].flatMap((expert) => [
      tensor(`model.layers.${layer}.mlp.experts.${expert}.up_proj.weight`, 'BF16', 12, 8),
      tensor(`model.layers.${layer}.mlp.experts.${expert}.down_proj.weight`, 'BF16', 8, 12),
      tensor(`model.layers.${layer}.mlp.experts.${expert}.down_proj.weight_scale_inv`, 'F32', 1, 2),
    ]),
  ]),
  tensor('model.norm.weight', 'BF16', 8),
  tensor('lm_head.weight', 'BF16', 37, 8),
];

const layouts: fc.Arbitrary<ParallelLayout> = fc
  .record({
    tp: fc.integer({ min: 1, max: 4 }),
    pp: fc.integer({ min: 1, max: 3 }),
    groups: fc.integer({ min: 0, max: 2 }),
  })
  .map(({ tp, pp, groups }) => ({ tp, pp, ep: groups === 0 ? 1 : tp * groups, rules: [] }));

/** Bytes of a tensor that a rank keeps. */
function marked(layout: ParallelLayout, rank: number): Uint8Array[] {
  const bytes = tensors.map(({ sizeBytes }) => new Uint8Array(sizeBytes));
  const needs = needsOf(divideModel(tensors, layout), layout, positionOf(layout, rank));
  for (const [at, index] of needs.tensor.entries()) {
    for (let row = 0; row < needs.rows[at]!; row++) {
      const from = needs.offsetBytes[at]! + row * needs.pitchBytes[at]!;
      expect(from + needs.rowBytes[at]!).toBeLessThanOrEqual(tensors[index]!.sizeBytes);
      bytes[index]!.fill(1, from, from + needs.rowBytes[at]!);
    }
  }
  return bytes;
}

describe('needsOf', () => {
  it('assigns every byte to a rank of an instance, inside of tensors', () => {
    fc.assert(
      fc.property(layouts, (layout) => {
        const ranks = Array.from({ length: instanceSize(layout) }, (_, rank) => marked(layout, rank));
        for (const [index, { name }] of tensors.entries()) {
          const missing = ranks[0]![index]!.findIndex((_, byte) => ranks.every((bytes) => bytes[index]![byte] === 0));
          expect([name, missing]).toEqual([name, -1]);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('divides unshared tensors: no byte of an expert is kept twice', () => {
    const layout: ParallelLayout = { tp: 2, ep: 4, pp: 1, rules: [] };
    const ranks = [0, 1, 2, 3].map((rank) => marked(layout, rank));
    const experts = tensors.flatMap(({ name }, index) => (name.includes('.experts.') ? [index] : []));
    for (const index of experts) {
      for (const byte of ranks[0]![index]!.keys()) {
        expect(ranks.reduce((sum, bytes) => sum + bytes[index]![byte]!, 0)).toBe(1);
      }
    }
  });

  it("applies the caller's rules first", () => {
    const layout: ParallelLayout = { tp: 2, ep: 1, pp: 1, rules: [{ match: /q_proj/, split: 'replicated' }] };
    const needs = needsOf(divideModel(tensors, layout), layout, positionOf(layout, 1));
    const at = needs.tensor.indexOf(tensors.findIndex(({ name }) => name.includes('q_proj')));
    expect(needs.rowBytes[at]).toBe(24 * 8 * 2);
  });
});

describe('KeptBytes', () => {
  it('counts the bytes of ranges of a tensor', () => {
    const range = fc.tuple(fc.nat(), fc.nat(), fc.nat());
    fc.assert(
      fc.property(layouts, fc.array(range, { minLength: 1, maxLength: 20 }), (layout, ranges) => {
        const rank = instanceSize(layout) - 1;
        const needs = needsOf(divideModel(tensors, layout), layout, positionOf(layout, rank));
        const kept = new KeptBytes(needs, tensors.length);
        const bytes = marked(layout, rank);
        for (const [pick, a, b] of ranges) {
          const index = pick % tensors.length;
          const size = tensors[index]!.sizeBytes + 1;
          const [from, to] = [a % size, b % size].sort((x, y) => x - y) as [number, number];
          const wanted = bytes[index]!.subarray(from, to).reduce((sum, byte) => sum + byte, 0);
          expect(kept.ofRange(index, from, to)).toBe(wanted);
        }
        const all = tensors.reduce((sum, { sizeBytes }, index) => sum + kept.ofRange(index, 0, sizeBytes), 0);
        expect(all).toBe(boxBytes(needs));
      }),
      { numRuns: 40 },
    );
  });
});
