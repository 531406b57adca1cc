import { DTYPES, type DType, type TensorSpec } from '@checkpoint-engine/meta';

/** Dtypes that torch and safetensors share. */
const SHARED_DTYPES = DTYPES.filter((dtype) => !/^F[46]|FNUZ$/.test(dtype) || dtype === 'F64');
const SHAPES = [[], [0], [1], [7], [129, 3], [3, 0, 5], [1023, 1025]];
const MANY = 20_000;

/** The contents of a checkpoint for checks. */
export const SPECIAL_TENSORS: Readonly<Record<string, () => TensorSpec[]>> = {
  /** One small tensor: its update takes the worker's own fixed time. */
  one: () => [{ name: 'weight', dtype: 'F32', shape: [16] }],
  /** Every dtype, odd sizes, scalars, empty tensors. */
  mixed: () =>
    SHARED_DTYPES.flatMap((dtype) =>
      SHAPES.map((shape) => ({ name: `${dtype}.${shape.join('x') || 'scalar'}`, dtype, shape })),
    ),
  /** 20,000 tensors of 1 byte to 64 KiB. */
  many: () => Array.from({ length: MANY }, (_, index) => bytes(`experts.${index}.w`, ((index * 7919) % 65_536) + 1)),
  /** One tensor of 2.34 GiB, and small ones. */
  huge: () => [bytes('small.0', 68), bf16('huge', 2400, 2 ** 19), bytes('small.1', 132)],
  /** One tensor of 8 GiB: every offset and size beyond 32 bits. */
  giant: () => [bytes('small.0', 68), bf16('giant', 8192, 2 ** 19), bytes('small.1', 132)],
};

const bytes = (name: string, sizeBytes: number): TensorSpec => ({ name, dtype: 'U8', shape: [sizeBytes] });
const bf16 = (name: string, ...shape: number[]): TensorSpec => ({ name, dtype: 'BF16' satisfies DType, shape });
