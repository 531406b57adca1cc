import { modelOf } from '@checkpoint-engine/model-tensors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesTensor, poolOf } from '../test/support/metas.ts';
import { anyNames } from '../test/support/quantized.ts';
import { affinityOf, orderByAffinity } from './affinity.ts';
import { affinityKey } from './affinity-key.ts';
import { balanceByBytes } from './balance-by-bytes.ts';
import { bucketLayout } from './bucket-layout.ts';
import { bucketTensors } from './bucket-tensors.ts';
import { measureMetas } from './measure-metas.ts';
import { planBuckets } from './plan-buckets.ts';
import { splitGroups } from './split-groups.ts';

/** Groups of tensors that engine loaders need in one call. */
const TOGETHER: Readonly<Record<string, readonly string[]>> = {
  'DeepSeek-V3, FP8': [
    'model.layers.3.self_attn.q_a_proj.weight',
    'model.layers.3.self_attn.q_a_proj.weight_scale_inv',
    'model.layers.3.self_attn.kv_a_proj_with_mqa.weight',
    'model.layers.3.self_attn.kv_a_proj_with_mqa.weight_scale_inv',
  ],
  'DeepSeek-V3.2, the indexer': [
    'model.layers.0.self_attn.indexer.wk.weight',
    'model.layers.0.self_attn.indexer.wk.weight_scale_inv',
    'model.layers.0.self_attn.indexer.weights_proj.weight',
  ],
  'DeepSeek-V3, its prediction layer': [
    'model.layers.61.self_attn.q_a_proj.weight',
    'model.layers.61.self_attn.kv_a_proj_with_mqa.weight',
  ],
  'DeepSeek-V3, AWQ': [
    'model.layers.3.self_attn.q_a_proj.qweight',
    'model.layers.3.self_attn.q_a_proj.qzeros',
    'model.layers.3.self_attn.q_a_proj.scales',
    'model.layers.3.self_attn.kv_a_proj_with_mqa.qweight',
  ],
  'DeepSeek-V4, query and key': [
    'layers.2.attn.wq_a.weight',
    'layers.2.attn.wq_a.scale',
    'layers.2.attn.wkv.weight',
    'layers.2.attn.wkv.scale',
  ],
  'DeepSeek-V4, the compressor': ['layers.2.attn.compressor.wkv.weight', 'layers.2.attn.compressor.wgate.weight'],
  "DeepSeek-V4, the indexer's compressor": [
    'layers.2.attn.indexer.compressor.wkv.weight',
    'layers.2.attn.indexer.compressor.wgate.weight',
  ],
  'DeepSeek-V4, the output': ['layers.2.attn.wo_a.weight', 'layers.2.attn.wo_a.scale'],
  'DeepSeek-V4, its prediction layer': ['mtp.0.attn.wq_a.weight', 'mtp.0.attn.wkv.weight'],
  'GLM-4.7-Flash': ['model.layers.1.self_attn.q_a_proj.weight', 'model.layers.1.self_attn.kv_a_proj_with_mqa.weight'],
  'LongCat, two attentions per layer': [
    'model.layers.5.self_attn.1.q_a_proj.weight',
    'model.layers.5.self_attn.1.kv_a_proj_with_mqa.weight',
  ],
  Bailing: ['model.layers.5.attention.q_a_proj.weight', 'model.layers.5.attention.kv_a_proj_with_mqa.weight'],
  'dots3, with its gate': [
    'model.layers.5.self_attn.q_a_proj.weight',
    'model.layers.5.self_attn.kv_a_proj_with_mqa.weight',
    'model.layers.5.self_attn.g_proj.weight',
  ],
  'Kimi-K2.5, its EAGLE-3 draft': [
    'layers.0.self_attn.q_a_proj.weight',
    'layers.0.self_attn.kv_a_proj_with_mqa.weight',
  ],
  'an attention block outside of numbered layers': [
    'midlayer.self_attn.q_a_proj.weight',
    'midlayer.self_attn.kv_a_proj_with_mqa.weight',
  ],
  'a multimodal model': [
    'language_model.model.layers.7.self_attn.q_a_proj.weight',
    'language_model.model.layers.7.self_attn.kv_a_proj_with_mqa.weight',
  ],
  'compressed tensors': ['weight_packed', 'weight_scale', 'weight_shape', 'weight_zero_point', 'weight_g_idx'].map(
    (parameter) => `model.layers.1.mlp.experts.9.up_proj.${parameter}`,
  ),
  NVFP4: ['weight', 'weight_scale', 'weight_scale_2', 'input_scale'].map(
    (parameter) => `model.layers.1.mlp.experts.9.up_proj.${parameter}`,
  ),
  'GPTQ, with a bias': ['qweight', 'qzeros', 'scales', 'g_idx', 'bias'].map((parameter) => `h.0.mlp.fc.${parameter}`),
  GGUF: ['model.layers.1.mlp.up_proj.qweight', 'model.layers.1.mlp.up_proj.qweight_type'],
  'gpt-oss, fused experts': ['gate_up_proj_blocks', 'gate_up_proj_scales', 'gate_up_proj_bias'].map(
    (parameter) => `model.layers.1.mlp.experts.${parameter}`,
  ),
  'fused experts, FP8': ['down_proj', 'down_proj_scale_inv', 'down_proj_scale'].map(
    (parameter) => `model.layers.1.mlp.experts.${parameter}`,
  ),
  'no module': ['weight', 'weight_scale'],
};

/** Tensors that are separate although their names are similar: groups are only as large as necessary. */
const APART: readonly (readonly [string, string])[] = [
  ['model.layers.1.self_attn.q_proj.weight', 'model.layers.11.self_attn.q_proj.weight'],
  ['model.layers.1.mlp.experts.1.up_proj.weight', 'model.layers.1.mlp.experts.11.up_proj.weight'],
  ['model.layers.1.mlp.experts.1.up_proj.weight', 'model.layers.1.mlp.experts.1.up_proj_2.weight'],
  ['model.layers.1.mlp.experts.gate_up_proj', 'model.layers.1.mlp.experts.down_proj'],
  ['model.layers.1.mlp.gate_proj.weight', 'model.layers.1.mlp.up_proj.weight'],
  ['model.layers.1.input_layernorm.weight', 'model.layers.1.post_attention_layernorm.weight'],
  ['attention_model.layers.0.mlp.up_proj.weight', 'attention_model.layers.1.mlp.up_proj.weight'],
  ['model.pattern.weight', 'model.pattern_two.weight'],
  ['a', 'b'],
];

const named = (names: readonly string[]): { name: string }[] => names.map((name) => ({ name }));

describe('affinityKey', () => {
  it.each(Object.entries(TOGETHER))('keeps together: %s', (_, names) => {
    expect(new Set(names.map(affinityKey)).size).toBe(1);
  });

  it.each(APART)('keeps %s apart from %s', (one, other) => {
    expect(affinityKey(one)).not.toBe(affinityKey(other));
  });

  it('has groups of at most one layer in all known models', () => {
    for (const model of ['kimi-k2', 'deepseek-v3.1'] as const) {
      const layers = new Map<string, Set<string | undefined>>();
      for (const { name } of modelOf(model).tensors()) {
        const key = affinityKey(name);
        layers.set(key, (layers.get(key) ?? new Set()).add(/layers\.\d+/.exec(name)?.[0]));
      }
      expect([...layers.values()].every(({ size }) => size === 1)).toBe(true);
    }
  });
});

describe('affinityOf', () => {
  it('orders by group, and does not change a list that is in order', () => {
    fc.assert(
      fc.property(anyNames, (names) => {
        const keys = names.map(affinityKey);
        const { order, starts } = affinityOf(named(names));
        const sorted = Array.from(names.keys(), (at) => order?.[at] ?? at);
        expect(sorted.toSorted((a, b) => a - b)).toEqual([...names.keys()]);
        const begun = sorted.map((index, at) => at === 0 || keys[index] !== keys[sorted[at - 1]!]);
        expect([...starts].map(Boolean)).toEqual(begun);
        expect(begun.filter(Boolean)).toHaveLength(new Set(keys).size);
        const again = affinityOf(orderByAffinity(named(names)));
        expect(again.order).toBeUndefined();
      }),
    );
  });

  it('orders the same tensors, each weight before its companions', () => {
    fc.assert(
      fc.property(anyNames, (names) => {
        const ordered = orderByAffinity(named(names)).map(({ name }) => name);
        expect(ordered.toSorted()).toEqual(names.toSorted());
        for (const [at, name] of ordered.entries()) {
          if (!name.endsWith('.weight') || name.includes('att')) continue;
          expect(ordered.findIndex((other) => affinityKey(other) === affinityKey(name))).toBe(at);
        }
      }),
    );
  });
});

describe('groups of tensors', () => {
  const options = fc.record({
    bucketBytes: fc.integer({ min: 1, max: 9000 }),
    fillBytes: fc.option(fc.integer({ min: 1, max: 9000 }), { nil: undefined }),
    alignBytes: fc.constantFrom(1, 16, 256),
    maxTensorsPerBucket: fc.integer({ min: 1, max: 50 }),
  });
  const tensors = anyNames.chain((names) =>
    fc
      .array(fc.oneof(fc.nat(600), fc.constantFrom(0, 256)), { minLength: names.length, maxLength: names.length })
      .map((sizes) => names.map((name, at) => bytesTensor(name, sizes[at]!))),
  );
  const layouts = fc.record({
    alignBytes: fc.constantFrom(1, 256),
    startBytes: fc.constantFrom(0, 72),
    tensorsPerRegion: fc.integer({ min: 1, max: 60 }),
  });

  it('have one owner and one bucket, for any order, sizes and limits', () => {
    fc.assert(
      fc.property(tensors, layouts, options, fc.integer({ min: 1, max: 9 }), (specs, layout, limits, worldSize) => {
        const owners = balanceByBytes(specs, worldSize);
        const metas = Array.from({ length: worldSize }, (_, rank) =>
          poolOf(
            rank,
            specs.filter((_, index) => owners[index] === rank),
            layout,
          ),
        );
        const largest = measureMetas(metas).largestGroup.sizeBytes;
        const bucketBytes = Math.max(limits.bucketBytes, Math.ceil(largest / 256) * 256);
        const plan = planBuckets(metas, { ...limits, bucketBytes });
        // Planning does not change the cached affinity of the metas.
        expect(planBuckets(metas, { ...limits, bucketBytes })).toEqual(plan);
        const places = new Map<string, number>();
        const names: string[] = [];
        for (const bucket of plan.buckets) {
          const own = metas[bucket.ownerRank]!;
          const held = bucketTensors(own, bucket);
          expect(held).toHaveLength(bucket.tensorCount);
          const placed = bucketLayout(own, bucket, plan.alignBytes).tensors;
          expect(placed.map(({ name }) => name)).toEqual(held.map(({ name }) => name));
          const last = placed.at(-1)!;
          expect(last.offsetBytes + last.sizeBytes).toBe(bucket.sizeBytes);
          expect(bucket.sizeBytes).toBeLessThanOrEqual(bucketBytes);
          const keys = new Set(held.map(({ name }) => affinityKey(name)));
          if (keys.size > 1) expect(bucket.tensorCount).toBeLessThanOrEqual(limits.maxTensorsPerBucket);
          for (const key of keys) {
            expect(places.get(key) ?? bucket.index).toBe(bucket.index);
            places.set(key, bucket.index);
          }
          names.push(...held.map(({ name }) => name));
        }
        expect(names.toSorted()).toEqual(specs.map(({ name }) => name).toSorted());
      }),
      { numRuns: 200 },
    );
  });

  it('give no owner more than the mean and the largest group', () => {
    fc.assert(
      fc.property(tensors, fc.integer({ min: 1, max: 9 }), (specs, worldSize) => {
        const owners = balanceByBytes(specs, worldSize);
        const groups = new Map<string, number>();
        const loads = new Map<number, number>();
        for (const [index, { name, sizeBytes }] of specs.entries()) {
          const key = affinityKey(name);
          groups.set(key, (groups.get(key) ?? 0) + sizeBytes);
          loads.set(owners[index]!, (loads.get(owners[index]!) ?? 0) + sizeBytes);
        }
        const totalBytes = [...groups.values()].reduce((a, b) => a + b, 0);
        const most = totalBytes / worldSize + Math.max(...groups.values());
        for (const load of loads.values()) expect(load).toBeLessThanOrEqual(most + 1e-6);
      }),
    );
  });

  it('need one copy from a pool in their order, and few copies from a file', () => {
    const module = (at: number): string => `model.layers.0.mlp.experts.${at}.up_proj`;
    const inFile = [
      ...Array.from({ length: 8 }, (_, at) => bytesTensor(`${module(at)}.weight_scale_inv`, 256)),
      ...Array.from({ length: 8 }, (_, at) => bytesTensor(`${module(at)}.weight`, 4096)),
    ];
    const copiesOf = (metas: ReturnType<typeof poolOf>): number[] => {
      const { buckets, alignBytes } = planBuckets([metas], { bucketBytes: 2 * (4096 + 256) });
      expect(buckets).toHaveLength(4);
      return buckets.map((bucket) => bucketLayout(metas, bucket, alignBytes).copies.length);
    };
    expect(copiesOf(poolOf(0, orderByAffinity(inFile)))).toEqual([1, 1, 1, 1]);
    expect(copiesOf(poolOf(0, inFile, { alignBytes: 1, startBytes: 72 }))).toEqual([2, 2, 2, 2]);
  });

  it('are reported if several ranks hold parts of one', () => {
    const one = (rank: number, ...names: string[]) =>
      poolOf(
        rank,
        names.map((name) => bytesTensor(name, 8)),
      );
    const mlp = 'l.0.mlp.up_proj';
    expect(splitGroups([one(0, 'l.0.attn.q.weight', `${mlp}.weight`), one(1, 'l.0.attn.k.weight')])).toEqual([
      'l.0.attn',
    ]);
    expect(splitGroups([one(0, `${mlp}.weight`), one(1, `${mlp}.weight_scale`), one(2, `${mlp}.bias`)])).toEqual([mlp]);
    expect(splitGroups([one(1, `${mlp}.weight_scale`), one(0, 'l.1.attn.q.weight', `${mlp}.weight`)])).toEqual([mlp]);
    expect(splitGroups([one(0, `${mlp}.weight`, `${mlp}.weight_scale`), one(1, 'l.1.attn.q.weight')])).toEqual([]);
    fc.assert(
      fc.property(anyNames, fc.integer({ min: 1, max: 4 }), fc.infiniteStream(fc.nat(3)), (names, worldSize, picks) => {
        const owners = names.map(() => picks.next().value % worldSize);
        const metas = Array.from({ length: worldSize }, (_, rank) =>
          one(rank, ...names.filter((_, at) => owners[at] === rank)),
        );
        const holders = new Map<string, Set<number>>();
        for (const [at, name] of names.entries()) {
          const key = affinityKey(name);
          holders.set(key, (holders.get(key) ?? new Set()).add(owners[at]!));
        }
        const split = [...holders].filter(([, { size }]) => size > 1).map(([key]) => key);
        expect(splitGroups(metas).toSorted()).toEqual(split.toSorted());
      }),
    );
  });

  it('are named if a bucket cannot hold them', () => {
    const metas = poolOf(2, [bytesTensor('a.attn.q.weight', 300), bytesTensor('a.attn.k.weight', 300)]);
    expect(() => planBuckets([metas], { bucketBytes: 512 })).toThrow(
      expect.objectContaining({
        code: 'CE_PLAN_MEMORY_TOO_SMALL',
        tensor: 'a.attn.q.weight',
        message: expect.stringContaining('The 2 tensors "a.attn" of rank 2'),
      }),
    );
  });

  it('hardly increase the number of buckets of Kimi-K2', () => {
    const tensors = modelOf('kimi-k2').tensors();
    const metas = (isGrouped: boolean) => {
      const specs = tensors.map((tensor, at) => bytesTensor(isGrouped ? tensor.name : `t${at}`, sizeOf(tensor)));
      const owned: (typeof specs)[] = Array.from({ length: 256 }, () => []);
      for (const [at, owner] of balanceByBytes(specs, 256).entries()) owned[owner]!.push(specs[at]!);
      return owned.map((own, rank) => poolOf(rank, orderByAffinity(own)));
    };
    const counts = [false, true].map(
      (isGrouped) =>
        planBuckets(metas(isGrouped), { bucketBytes: 4 * 2 ** 30, fillBytes: 128 * 2 ** 20 }).buckets.length,
    );
    expect(counts[1]! / counts[0]!).toBeLessThan(1.1);
  }, 60_000);
});

const sizeOf = ({ dtype, shape }: { dtype: string; shape: readonly number[] }): number =>
  shape.reduce((product, size) => product * size, { F8_E4M3: 1, BF16: 2 }[dtype] ?? 4);
