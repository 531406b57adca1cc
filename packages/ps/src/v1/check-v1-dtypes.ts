import { type TypedTensor, torchType } from '@checkpoint-engine/meta';

/**
 * Checks that a Python worker can receive every tensor. Call it before any data moves.
 *
 * @throws `CE_DTYPE_UNKNOWN` with the first tensor that torch cannot hold.
 */
export function checkV1Dtypes(tensors: Iterable<TypedTensor>): void {
  for (const tensor of tensors) torchType(tensor);
}
