import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { DType } from './dtype.ts';

const TORCH_NAMES: Readonly<Record<DType, string | undefined>> = {
  BOOL: 'bool',
  U8: 'uint8',
  I8: 'int8',
  F8_E5M2: 'float8_e5m2',
  F8_E4M3: 'float8_e4m3fn',
  F8_E4M3FNUZ: 'float8_e4m3fnuz',
  F8_E5M2FNUZ: 'float8_e5m2fnuz',
  F8_E8M0: 'float8_e8m0fnu',
  I16: 'int16',
  U16: 'uint16',
  F16: 'float16',
  BF16: 'bfloat16',
  I32: 'int32',
  U32: 'uint32',
  F32: 'float32',
  C64: 'complex64',
  F64: 'float64',
  I64: 'int64',
  U64: 'uint64',
  F4: 'float4_e2m1fn_x2',
  F6_E2M3: undefined,
  F6_E3M2: undefined,
};

/** The name for errors, dtype and shape of a tensor. */
export interface TypedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** The dtype and shape of a tensor in torch. */
export interface TorchType {
  /** Attribute of the module `torch`: `bfloat16`. */
  readonly dtype: string;
  readonly shape: readonly number[];
}

/**
 * Returns the torch dtype and shape of a tensor that a safetensors header describes. The shape differs only for `F4`:
 * torch counts pairs of values, so the last dimension is half as long.
 *
 * @throws `CE_DTYPE_UNKNOWN` if torch has no such dtype, or for an `F4` tensor whose last dimension is odd.
 * @source https://docs.pytorch.org/docs/stable/tensor_attributes.html
 */
export function torchType(tensor: TypedTensor): TorchType {
  const dtype = TORCH_NAMES[tensor.dtype];
  if (dtype === undefined) {
    throw unknownDtype(tensor, `Tensor "${tensor.name}" has dtype ${tensor.dtype}, which torch does not have`);
  }
  if (tensor.dtype !== 'F4') return { dtype, shape: tensor.shape };
  const last = tensor.shape.at(-1);
  if (last === undefined || last % 2 !== 0) {
    const what = `Tensor "${tensor.name}" of dtype F4 has shape [${tensor.shape}], but torch packs pairs of values: expected an even last dimension`;
    throw unknownDtype(tensor, what);
  }
  return { dtype, shape: [...tensor.shape.slice(0, -1), last / 2] };
}

function unknownDtype(tensor: TypedTensor, what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_DTYPE_UNKNOWN',
    what,
    'Convert the tensor before it is registered, or send it to a worker that accepts it as bytes',
    { tensor: tensor.name },
  );
}
