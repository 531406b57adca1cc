import { type DType, type TensorSpec, tensorBytes } from '@checkpoint-engine/meta';

/** Side of the square blocks of an FP8 matrix that share one scale. */
export const SCALE_BLOCK = 128;
/** Suffix of a scale matrix's name after the name of its matrix. */
export const SCALE_SUFFIX = '_scale_inv';

export const bf16 = (name: string, ...shape: number[]): TensorSpec => ({ name, dtype: 'BF16', shape });
export const f32 = (name: string, ...shape: number[]): TensorSpec => ({ name, dtype: 'F32', shape });

/** How a model stores the matrix of a linear layer. */
export type Linear = (name: string, rows: number, columns: number) => TensorSpec[];

/** In BF16, without scales. */
export const plainLinear: Linear = (name, rows, columns) => [bf16(`${name}.weight`, rows, columns)];

/** In FP8, with a matrix of scales. */
export const fp8Linear: Linear = (name, rows, columns) => {
  const dtype: DType = 'F8_E4M3';
  return [
    { name: `${name}.weight`, dtype, shape: [rows, columns] },
    f32(`${name}.weight${SCALE_SUFFIX}`, ...scaleShape(rows, columns)),
  ];
};

/** One scale per block, including incomplete blocks. */
export function scaleShape(rows: number, columns: number): [number, number] {
  return [Math.ceil(rows / SCALE_BLOCK), Math.ceil(columns / SCALE_BLOCK)];
}

/** Gate, up and down projections. */
export function mlp(linear: Linear, name: string, hidden: number, width: number): TensorSpec[] {
  return [
    ...linear(`${name}.gate_proj`, width, hidden),
    ...linear(`${name}.up_proj`, width, hidden),
    ...linear(`${name}.down_proj`, hidden, width),
  ];
}

/** The experts of a layer, without the router. */
export function experts(linear: Linear, name: string, count: number, hidden: number, width: number): TensorSpec[] {
  return Array.from({ length: count }, (_, expert) => mlp(linear, `${name}.experts.${expert}`, hidden, width)).flat();
}

/** An additional layer that predicts one more token (MTP): a whole layer with its own embedding, head and projection. */
export function predictingLayer(
  layer: string,
  hidden: number,
  vocabulary: number,
  inner: readonly TensorSpec[],
): TensorSpec[] {
  return [
    bf16(`${layer}.embed_tokens.weight`, vocabulary, hidden),
    bf16(`${layer}.enorm.weight`, hidden),
    bf16(`${layer}.hnorm.weight`, hidden),
    bf16(`${layer}.eh_proj.weight`, hidden, 2 * hidden),
    ...inner,
    bf16(`${layer}.shared_head.norm.weight`, hidden),
    bf16(`${layer}.shared_head.head.weight`, vocabulary, hidden),
  ];
}

/** Embedding, layers, last norm and head. */
export function decoder(hidden: number, vocabulary: number, layers: readonly (readonly TensorSpec[])[]): TensorSpec[] {
  return [
    bf16('model.embed_tokens.weight', vocabulary, hidden),
    ...layers.flat(),
    bf16('model.norm.weight', hidden),
    bf16('lm_head.weight', vocabulary, hidden),
  ];
}

/** Bytes of all tensors. */
export function totalBytes(tensors: readonly TensorSpec[]): number {
  return tensors.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, shape), 0);
}
