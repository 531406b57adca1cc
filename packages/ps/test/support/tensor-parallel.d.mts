import type { CheckpointTensor, KeptSlice } from '@checkpoint-engine/worker';

/** Tensor-parallel slices: rows, columns, experts and replicated tensors, by the tensor's name. */
export function tensorParallel(
  rank: number,
  size: number,
): (tensor: CheckpointTensor) => readonly KeptSlice[] | undefined;
