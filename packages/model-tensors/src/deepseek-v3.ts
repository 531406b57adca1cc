import type { TensorSpec } from '@checkpoint-engine/meta';
import { bf16, decoder, experts, f32, fp8Linear, mlp, predictingLayer } from './tensors.ts';

const HIDDEN = 7168;
const LAYERS = 61;
const Q_RANK = 1536;
const KV_RANK = 512;
const ROPE_HEAD = 64;
const NOPE_HEAD = 128;
const VALUE_HEAD = 128;
const EXPERT_WIDTH = 2048;
const DENSE_WIDTH = 18_432;

/** The parameters that differ between models of this architecture. */
interface Variant {
  readonly heads: number;
  readonly experts: number;
  readonly vocabulary: number;
  /** Number of first layers, which have no experts. */
  readonly denseLayers: number;
  /** Whether there is an additional layer for multi-token prediction. */
  readonly predicts: boolean;
}

/** @source https://huggingface.co/deepseek-ai/DeepSeek-V3.1/blob/main/config.json */
export const deepseekV31 = (): TensorSpec[] =>
  tensorsOf({ heads: 128, experts: 256, vocabulary: 129_280, denseLayers: 3, predicts: true });

/** @source https://huggingface.co/moonshotai/Kimi-K2-Instruct/blob/main/config.json */
export const kimiK2 = (): TensorSpec[] =>
  tensorsOf({ heads: 64, experts: 384, vocabulary: 163_840, denseLayers: 1, predicts: false });

function tensorsOf(variant: Variant): TensorSpec[] {
  const { vocabulary, denseLayers, predicts } = variant;
  const layers = Array.from({ length: LAYERS }, (_, index) =>
    layerTensors(`model.layers.${index}`, variant, index < denseLayers),
  );
  const last = `model.layers.${LAYERS}`;
  const further = predicts ? predictingLayer(last, HIDDEN, vocabulary, layerTensors(last, variant, false)) : [];
  return [...decoder(HIDDEN, vocabulary, layers), ...further];
}

function layerTensors(layer: string, variant: Variant, isDense: boolean): TensorSpec[] {
  const { heads } = variant;
  const name = `${layer}.self_attn`;
  return [
    bf16(`${layer}.input_layernorm.weight`, HIDDEN),
    ...fp8Linear(`${name}.q_a_proj`, Q_RANK, HIDDEN),
    bf16(`${name}.q_a_layernorm.weight`, Q_RANK),
    ...fp8Linear(`${name}.q_b_proj`, heads * (NOPE_HEAD + ROPE_HEAD), Q_RANK),
    ...fp8Linear(`${name}.kv_a_proj_with_mqa`, KV_RANK + ROPE_HEAD, HIDDEN),
    bf16(`${name}.kv_a_layernorm.weight`, KV_RANK),
    ...fp8Linear(`${name}.kv_b_proj`, heads * (NOPE_HEAD + VALUE_HEAD), KV_RANK),
    ...fp8Linear(`${name}.o_proj`, HIDDEN, heads * VALUE_HEAD),
    bf16(`${layer}.post_attention_layernorm.weight`, HIDDEN),
    ...(isDense ? mlp(fp8Linear, `${layer}.mlp`, HIDDEN, DENSE_WIDTH) : mixture(`${layer}.mlp`, variant)),
  ];
}

function mixture(name: string, { experts: count }: Variant): TensorSpec[] {
  return [
    bf16(`${name}.gate.weight`, count, HIDDEN),
    f32(`${name}.gate.e_score_correction_bias`, count),
    ...mlp(fp8Linear, `${name}.shared_experts`, HIDDEN, EXPERT_WIDTH),
    ...experts(fp8Linear, name, count, HIDDEN, EXPERT_WIDTH),
  ];
}
