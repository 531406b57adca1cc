import { sliceAlong, wholeOf } from '@checkpoint-engine/worker';

/** Tensor-parallel slices: rows, columns, experts and replicated tensors, by the tensor's name. */
export function tensorParallel(rank, size) {
  return (tensor) => {
    const { name, shape } = tensor;
    const part = (axis) => {
      const length = shape[axis];
      return sliceAlong(tensor, axis, Math.floor((rank * length) / size), Math.floor(((rank + 1) * length) / size));
    };
    if (name.startsWith('row')) return part(0);
    if (name.startsWith('column')) return part(1);
    if (name.startsWith('expert')) return Number(name.split('.')[1]) % size === rank ? wholeOf(tensor) : undefined;
    return wholeOf(tensor);
  };
}
