import type { TensorSpec } from '@checkpoint-engine/meta';
import { bf16, decoder, experts, f32, mlp, plainLinear, predictingLayer } from './tensors.ts';

const HIDDEN = 4096;
const HEADS = 96;
const KEY_VALUE_HEADS = 8;
const HEAD = 128;
const EXPERTS = 128;
const EXPERT_WIDTH = 1408;
const DENSE_WIDTH = 10_944;
const VOCABULARY = 151_552;
const LAYERS = 46;

/** Includes its layer for multi-token prediction. @source https://huggingface.co/zai-org/GLM-4.5-Air/blob/main/config.json */
export function glm45Air(): TensorSpec[] {
  const layers = Array.from({ length: LAYERS }, (_, index) => layerTensors(`model.layers.${index}`, index === 0));
  const last = `model.layers.${LAYERS}`;
  return [
    ...decoder(HIDDEN, VOCABULARY, layers),
    ...predictingLayer(last, HIDDEN, VOCABULARY, layerTensors(last, false)),
  ];
}

function layerTensors(layer: string, isDense: boolean): TensorSpec[] {
  const name = `${layer}.self_attn`;
  return [
    bf16(`${layer}.input_layernorm.weight`, HIDDEN),
    bf16(`${layer}.post_attention_layernorm.weight`, HIDDEN),
    ...biasedLinear(`${name}.q_proj`, HEADS * HEAD),
    ...biasedLinear(`${name}.k_proj`, KEY_VALUE_HEADS * HEAD),
    ...biasedLinear(`${name}.v_proj`, KEY_VALUE_HEADS * HEAD),
    bf16(`${name}.o_proj.weight`, HIDDEN, HEADS * HEAD),
    ...(isDense ? mlp(plainLinear, `${layer}.mlp`, HIDDEN, DENSE_WIDTH) : mixture(`${layer}.mlp`)),
  ];
}

function biasedLinear(name: string, rows: number): TensorSpec[] {
  return [bf16(`${name}.weight`, rows, HIDDEN), bf16(`${name}.bias`, rows)];
}

function mixture(name: string): TensorSpec[] {
  return [
    bf16(`${name}.gate.weight`, EXPERTS, HIDDEN),
    f32(`${name}.gate.e_score_correction_bias`, EXPERTS),
    ...mlp(plainLinear, `${name}.shared_experts`, HIDDEN, EXPERT_WIDTH),
    ...experts(plainLinear, name, EXPERTS, HIDDEN, EXPERT_WIDTH),
  ];
}
