import fc from 'fast-check';

const LINEAR = [
  ['weight'],
  ['weight', 'bias'],
  ['weight', 'weight_scale_inv'],
  ['weight', 'weight_scale', 'input_scale'],
  ['weight', 'scale'],
  ['weight_packed', 'weight_scale', 'weight_zero_point', 'weight_shape', 'weight_g_idx'],
  ['weight', 'weight_scale', 'weight_scale_2', 'input_scale'],
  ['weight_packed', 'weight_global_scale', 'input_global_scale', 'weight_scale'],
  ['qweight', 'qzeros', 'scales', 'g_idx', 'bias'],
  ['qweight', 'qweight_type'],
] as const;

const ATTENTION = [
  'q_a_proj',
  'q_b_proj',
  'kv_a_proj_with_mqa',
  'kv_b_proj',
  'o_proj',
  'indexer.wk',
  'indexer.weights_proj',
];
const OTHER = ['mlp.gate', 'mlp.up_proj', 'mlp.experts.0.down_proj', 'mlp.experts.10.down_proj', 'input_layernorm'];

/** Names of a model's tensors in arbitrary order, for several quantization formats, each name once. */
export const anyNames: fc.Arbitrary<string[]> = fc
  .record({
    layers: fc.integer({ min: 1, max: 4 }),
    block: fc.constantFrom('self_attn', 'attn', 'attention', 'self_attention', 'linear_attn', 'self_attn.0'),
    attention: fc.subarray(ATTENTION, { minLength: 1 }),
    other: fc.subarray(OTHER),
    parameters: fc.constantFrom(...LINEAR),
  })
  .map(({ layers, block, attention, other, parameters }) => [
    'model.embed_tokens.weight',
    ...Array.from({ length: layers }, (_, layer) =>
      [...attention.map((name) => `${block}.${name}`), ...other].flatMap((module) =>
        parameters.map((parameter) => `model.layers.${layer}.${module}.${parameter}`),
      ),
    ).flat(),
    'lm_head.weight',
  ])
  .chain((names) => fc.shuffledSubarray(names, { minLength: names.length }));
