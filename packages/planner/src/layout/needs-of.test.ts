import { checkNeeds } from '@checkpoint-engine/interface';
import { type TensorSpec, tensorBytes } from '@checkpoint-engine/meta';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boxBytes } from '../needed-bytes.ts';
import { divideModel } from './divide-model.ts';
import { needsOf } from './needs-of.ts';
import { checkLayout, instanceSize, type ParallelLayout, positionOf } from './parallel-layout.ts';
import { parseRules } from './split-rules.ts';

const sized = (tensors: readonly TensorSpec[]) =>
  tensors.map((tensor) => ({ ...tensor, sizeBytes: tensorBytes(tensor.dtype, tensor.shape) }));
const layoutOf = (fields: Partial<ParallelLayout>): ParallelLayout => ({ tp: 1, ep: 1, pp: 1, rules: [], ...fields });

/** Bytes of each tensor that each rank of one instance keeps. */
function keptBytes(tensors: readonly TensorSpec[], layout: ParallelLayout): number[][] {
  const model = divideModel(sized(tensors), layout);
  return Array.from({ length: instanceSize(layout) }, (_, rank) => {
    const needs = needsOf(model, layout, positionOf(layout, rank));
    const bytes = tensors.map(() => 0);
    for (const [at, tensor] of needs.tensor.entries()) bytes[tensor]! += needs.rows[at]! * needs.rowBytes[at]!;
    return bytes;
  });
}

const layer = (index: number, experts: number): TensorSpec[] => [
  { name: `model.layers.${index}.input_layernorm.weight`, dtype: 'BF16', shape: [64] },
  { name: `model.layers.${index}.self_attn.q_proj.weight`, dtype: 'BF16', shape: [512, 64] },
  { name: `model.layers.${index}.self_attn.k_proj.weight`, dtype: 'BF16', shape: [256, 64] },
  { name: `model.layers.${index}.self_attn.o_proj.weight`, dtype: 'BF16', shape: [64, 512] },
  { name: `model.layers.${index}.mlp.gate.weight`, dtype: 'F32', shape: [experts, 64] },
  ...Array.from({ length: experts }, (_, expert): TensorSpec[] => [
    { name: `model.layers.${index}.mlp.experts.${expert}.up_proj.weight`, dtype: 'F8_E4M3', shape: [96, 64] },
    { name: `model.layers.${index}.mlp.experts.${expert}.down_proj.weight`, dtype: 'F8_E4M3', shape: [64, 96] },
    { name: `model.layers.${index}.mlp.experts.${expert}.down_proj.weight_scale_inv`, dtype: 'F32', shape: [1, 1] },
  ]).flat(),
];
const model = (layers: number, experts: number): TensorSpec[] => [
  { name: 'model.embed_tokens.weight', dtype: 'BF16', shape: [1000, 64] },
  ...Array.from({ length: layers }, (_, index) => layer(index, experts)).flat(),
  { name: 'lm_head.weight', dtype: 'BF16', shape: [1000, 64] },
];

const layouts = fc.record({
  tp: fc.constantFrom(1, 2, 3, 4, 8),
  epPerTp: fc.constantFrom(0, 1, 2),
  pp: fc.integer({ min: 1, max: 3 }),
  layers: fc.integer({ min: 1, max: 4 }),
  experts: fc.integer({ min: 1, max: 9 }),
});

describe('needsOf', () => {
  it('assigns each byte to a rank of the instance, in boxes inside their tensors', () => {
    fc.assert(
      fc.property(layouts, ({ tp, epPerTp, pp, layers, experts }) => {
        const layout = layoutOf({ tp, ep: Math.max(1, tp * epPerTp), pp });
        const tensors = sized(model(layers, experts));
        const sizes = tensors.map(({ sizeBytes }) => sizeBytes);
        const divided = divideModel(tensors, layout);
        const isKept = tensors.map(({ sizeBytes }) => new Uint8Array(sizeBytes));
        for (let rank = 0; rank < instanceSize(layout); rank++) {
          const needs = needsOf(divided, layout, positionOf(layout, rank));
          checkNeeds(needs, sizes);
          for (const [at, tensor] of needs.tensor.entries()) {
            for (let row = 0; row < needs.rows[at]!; row++) {
              const from = needs.offsetBytes[at]! + row * needs.pitchBytes[at]!;
              isKept[tensor]!.fill(1, from, from + needs.rowBytes[at]!);
            }
          }
        }
        for (const [at, bytes] of isKept.entries()) {
          if (bytes.includes(0)) throw new Error(`a byte of ${tensors[at]!.name} is on no rank`);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('divides rows and columns by tp, and replicates the rest', () => {
    const tensors = model(1, 1);
    const [first, second] = keptBytes(tensors, layoutOf({ tp: 2 }));
    expect(first).toEqual(second);
    const share = (name: string) => {
      const index = tensors.findIndex((tensor) => tensor.name.endsWith(name));
      return first![index]! / tensorBytes(tensors[index]!.dtype, tensors[index]!.shape);
    };
    for (const name of ['embed_tokens.weight', 'q_proj.weight', 'k_proj.weight', 'o_proj.weight', 'up_proj.weight']) {
      expect([name, share(name)]).toEqual([name, 0.5]);
    }
    for (const name of ['input_layernorm.weight', 'gate.weight', 'weight_scale_inv']) {
      expect([name, share(name)]).toEqual([name, 1]);
    }
    // Two heads of keys at four ranks: two ranks share a head.
    const four = keptBytes(tensors, layoutOf({ tp: 4 })).map((bytes) => bytes[3]);
    expect(four).toEqual([16_384, 16_384, 16_384, 16_384]);
  });

  it('assigns whole experts to ranks, and layers to stages', () => {
    const byExperts = keptBytes(model(1, 4), layoutOf({ ep: 4 }));
    for (const [rank, bytes] of byExperts.entries()) {
      const experts = Array.from({ length: 4 }, (_, expert) => bytes.slice(6 + expert * 3, 9 + expert * 3));
      expect(experts.map((kept) => kept.some((size) => size > 0))).toEqual([0, 1, 2, 3].map((own) => own === rank));
    }
    const [early, late] = keptBytes(model(2, 1), layoutOf({ pp: 2 }));
    const tensors = model(2, 1);
    for (const [at, { name }] of tensors.entries()) {
      const isEarly = name.includes('embed') || name.includes('layers.0.');
      expect([name, early![at]! > 0, late![at]! > 0]).toEqual([name, isEarly, !isEarly]);
    }
  });

  it("applies the caller's rules first", () => {
    const rules = parseRules([{ match: 'q_proj', split: 'replicated' }]);
    const [first] = keptBytes(model(1, 1), layoutOf({ tp: 2, rules }));
    expect(first![2]).toBe(512 * 64 * 2);
  });

  it('keeps nothing of empty tensors', () => {
    const empty: TensorSpec = { name: 'model.layers.0.self_attn.q_proj.weight', dtype: 'BF16', shape: [0, 64] };
    const layout = layoutOf({ tp: 2 });
    expect(boxBytes(needsOf(divideModel(sized([empty]), layout), layout, positionOf(layout, 0)))).toBe(0);
  });
});

describe('checkLayout', () => {
  it.each([
    [{ tp: 0 }, 4, /tp is 0/],
    [{ pp: 1.5 }, 4, /pp is 1.5/],
    [{ tp: 2, ep: 3 }, 6, /multiple of tp/],
    [{ tp: 4 }, 6, /do not divide/],
    [{ tp: 2, ep: 4, pp: 2 }, 4, /instances of 8 ranks/],
  ])('refuses %j on %i ranks', (fields, receivers, message) => {
    expect(() => checkLayout(layoutOf(fields), receivers)).toThrow(message);
  });

  it('accepts layouts that fill the ranks', () => {
    checkLayout(layoutOf({ tp: 2, ep: 4, pp: 2 }), 16);
    checkLayout(layoutOf({ tp: 4, ep: 1 }), 8);
  });
});

describe('parseRules', () => {
  it.each([
    [{}, /expected a list/],
    [[null], /no match/],
    [[{ match: 5, split: 'row' }], /no match/],
    [[{ match: '(', split: 'row' }], /has the match/],
    [[{ match: 'a', split: 'diagonal' }], /has the split "diagonal"/],
    [[{ match: 'a', split: 'row', unitRows: 0 }], /has unitRows 0/],
    [[{ match: 'a', split: 'row', unit: 1 }], /unknown field unit/],
  ])('refuses %j', (value, message) => {
    expect(() => parseRules(value)).toThrow(message);
  });
});
