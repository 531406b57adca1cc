import type { TensorSpec } from '@checkpoint-engine/meta';
import { bf16, decoder, experts, mlp, plainLinear } from './tensors.ts';

const HIDDEN = 4096;
const SMALL_HIDDEN = 2048;
const HEAD = 128;
const VOCABULARY = 151_936;

/** @source https://huggingface.co/Qwen/Qwen3-8B/blob/main/config.json */
export function qwen3Dense8b(): TensorSpec[] {
  const layers = Array.from({ length: 36 }, (_, index) => {
    const layer = `model.layers.${index}`;
    return [...attention(layer, 32, 8), ...mlp(plainLinear, `${layer}.mlp`, HIDDEN, 12_288)];
  });
  return decoder(HIDDEN, VOCABULARY, layers);
}

/** @source https://huggingface.co/Qwen/Qwen3-235B-A22B/blob/main/config.json */
export function qwen3Moe235b(): TensorSpec[] {
  const layers = Array.from({ length: 94 }, (_, index) => {
    const layer = `model.layers.${index}`;
    return [
      ...attention(layer, 64, 4),
      bf16(`${layer}.mlp.gate.weight`, 128, HIDDEN),
      ...experts(plainLinear, `${layer}.mlp`, 128, HIDDEN, 1536),
    ];
  });
  return decoder(HIDDEN, VOCABULARY, layers);
}

/**
 * @param layerCount Fewer layers make a smaller model of the same kind.
 * @source https://huggingface.co/Qwen/Qwen3-30B-A3B/blob/main/config.json
 */
export function qwen3Moe30b(layerCount = 48): TensorSpec[] {
  const layers = Array.from({ length: layerCount }, (_, index) => {
    const layer = `model.layers.${index}`;
    return [
      ...attention(layer, 32, 4, SMALL_HIDDEN),
      bf16(`${layer}.mlp.gate.weight`, 128, SMALL_HIDDEN),
      ...experts(plainLinear, `${layer}.mlp`, 128, SMALL_HIDDEN, 768),
    ];
  });
  return decoder(SMALL_HIDDEN, VOCABULARY, layers);
}

function attention(layer: string, heads: number, keyValueHeads: number, hidden: number = HIDDEN): TensorSpec[] {
  const name = `${layer}.self_attn`;
  return [
    bf16(`${layer}.input_layernorm.weight`, hidden),
    bf16(`${layer}.post_attention_layernorm.weight`, hidden),
    bf16(`${name}.q_proj.weight`, heads * HEAD, hidden),
    bf16(`${name}.k_proj.weight`, keyValueHeads * HEAD, hidden),
    bf16(`${name}.v_proj.weight`, keyValueHeads * HEAD, hidden),
    bf16(`${name}.o_proj.weight`, hidden, heads * HEAD),
    bf16(`${name}.q_norm.weight`, HEAD),
    bf16(`${name}.k_norm.weight`, HEAD),
  ];
}
