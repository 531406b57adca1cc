import type { RankMetas } from '@checkpoint-engine/meta';
import { balanceByBytes } from '@checkpoint-engine/planner';
import { poolOf, type TensorSpec } from './metas.ts';

const HIDDEN = 7168;
const LAYERS = 61;
const EXPERTS = 384;
const VOCABULARY = 163_840;

/** The tensors of Kimi-K2-Instruct in FP8, in the order of its layers: 139,583 with 1,029,173,249,888 bytes. */
export function kimiK2Tensors(): TensorSpec[] {
  const layers = Array.from({ length: LAYERS }, (_, layer) => layerTensors(`model.layers.${layer}`, layer === 0));
  return [
    bf16('model.embed_tokens.weight', VOCABULARY, HIDDEN),
    ...layers.flat(),
    bf16('model.norm.weight', HIDDEN),
    bf16('lm_head.weight', VOCABULARY, HIDDEN),
  ];
}

/** The same, owned by so many ranks. */
export function kimiK2Metas(worldSize: number): RankMetas[] {
  const tensors = kimiK2Tensors();
  const owned: TensorSpec[][] = Array.from({ length: worldSize }, () => []);
  for (const [index, rank] of balanceByBytes(tensors, worldSize).entries()) owned[rank]!.push(tensors[index]!);
  return owned.map((specs, rank) => poolOf(rank, specs));
}

function layerTensors(layer: string, dense: boolean): TensorSpec[] {
  return [
    bf16(`${layer}.input_layernorm.weight`, HIDDEN),
    ...fp8(`${layer}.self_attn.q_a_proj`, 1536, HIDDEN),
    bf16(`${layer}.self_attn.q_a_layernorm.weight`, 1536),
    ...fp8(`${layer}.self_attn.q_b_proj`, 12_288, 1536),
    ...fp8(`${layer}.self_attn.kv_a_proj_with_mqa`, 576, HIDDEN),
    bf16(`${layer}.self_attn.kv_a_layernorm.weight`, 512),
    ...fp8(`${layer}.self_attn.kv_b_proj`, 16_384, 512),
    ...fp8(`${layer}.self_attn.o_proj`, HIDDEN, 8192),
    bf16(`${layer}.post_attention_layernorm.weight`, HIDDEN),
    ...(dense ? mlp(`${layer}.mlp`, 18_432) : expertTensors(layer)),
  ];
}

function expertTensors(layer: string): TensorSpec[] {
  return [
    bf16(`${layer}.mlp.gate.weight`, EXPERTS, HIDDEN),
    f32(`${layer}.mlp.gate.e_score_correction_bias`, EXPERTS),
    ...mlp(`${layer}.mlp.shared_experts`, 2048),
    ...Array.from({ length: EXPERTS }, (_, expert) => mlp(`${layer}.mlp.experts.${expert}`, 2048)).flat(),
  ];
}

function mlp(name: string, width: number): TensorSpec[] {
  return [
    ...fp8(`${name}.gate_proj`, width, HIDDEN),
    ...fp8(`${name}.up_proj`, width, HIDDEN),
    ...fp8(`${name}.down_proj`, HIDDEN, width),
  ];
}

function fp8(name: string, rows: number, columns: number): TensorSpec[] {
  return [
    { name: `${name}.weight`, dtype: 'F8_E4M3', shape: [rows, columns], sizeBytes: rows * columns },
    f32(`${name}.weight_scale_inv`, Math.ceil(rows / 128), Math.ceil(columns / 128)),
  ];
}

function bf16(name: string, ...shape: number[]): TensorSpec {
  return { name, dtype: 'BF16', shape, sizeBytes: shape.reduce((a, b) => a * b, 2) };
}

function f32(name: string, ...shape: number[]): TensorSpec {
  return { name, dtype: 'F32', shape, sizeBytes: shape.reduce((a, b) => a * b, 4) };
}
