import { type DType, type TensorSpec, tensorBytes } from '@checkpoint-engine/meta';

const LAYERS = 12;
const EXPERTS = 4;
/** Side length of the blocks that share one scale. */
const SCALE_BLOCK = 128;
const HIDDEN_STEP = 32;

/**
 * Returns the tensors of the largest mixture-of-experts model within `sizeBytes`: FP8 matrices with scales, BF16
 * embeddings and norms, an F32 router, and special cases of real checkpoints: scalars, empty tensors, odd sizes.
 *
 * @throws {RangeError} Even the smallest model is too large.
 */
export function modelTensors(sizeBytes: number): TensorSpec[] {
  let best: TensorSpec[] | undefined;
  for (let hidden = HIDDEN_STEP; ; hidden += HIDDEN_STEP) {
    const tensors = tensorsOf(hidden);
    const totalBytes = tensors.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, shape), 0);
    if (totalBytes > sizeBytes) {
      if (best) return best;
      throw new RangeError(`The smallest model has ${totalBytes} bytes, expected at most ${sizeBytes}`);
    }
    best = tensors;
  }
}

function tensorsOf(hidden: number): TensorSpec[] {
  const tensors: TensorSpec[] = [];
  const add = (name: string, dtype: DType, shape: readonly number[]): void => {
    tensors.push({ name, dtype, shape });
  };
  const addQuantised = (name: string, rows: number, columns: number): void => {
    add(`${name}.weight`, 'F8_E4M3', [rows, columns]);
    add(`${name}.weight_scale_inv`, 'F32', [Math.ceil(rows / SCALE_BLOCK), Math.ceil(columns / SCALE_BLOCK)]);
  };
  add('model.embed_tokens.weight', 'BF16', [2 * hidden, hidden]);
  for (let layer = 0; layer < LAYERS; layer++) {
    const name = `model.layers.${layer}`;
    add(`${name}.input_layernorm.weight`, 'BF16', [hidden]);
    for (const projection of ['q', 'k', 'v', 'o']) addQuantised(`${name}.self_attn.${projection}_proj`, hidden, hidden);
    add(`${name}.self_attn.q_proj.bias`, 'BF16', [0]);
    add(`${name}.self_attn.rotary_emb.inv_freq`, 'F32', [31]);
    add(`${name}.post_attention_layernorm.weight`, 'F16', [hidden]);
    add(`${name}.mlp.gate.weight`, 'F32', [EXPERTS, hidden]);
    for (let expert = 0; expert < EXPERTS; expert++) {
      const mlp = `${name}.mlp.experts.${expert}`;
      addQuantised(`${mlp}.gate_proj`, hidden / 2, hidden);
      addQuantised(`${mlp}.up_proj`, hidden / 2, hidden);
      addQuantised(`${mlp}.down_proj`, hidden, hidden / 2);
    }
    add(`${name}.mlp.packed_zeros`, 'U8', [1021]);
    add(`${name}.mlp.tokens_seen`, 'I64', []);
  }
  add('model.norm.weight', 'BF16', [hidden]);
  add('model.rope.mask', 'BOOL', [7, 0, 3]);
  add('lm_head.weight', 'BF16', [2 * hidden, hidden]);
  return tensors;
}
