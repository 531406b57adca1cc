/** A tensor of a checkpoint, as its metas describe it. */
export interface CheckpointTensor {
  readonly name: string;
  /** The name in safetensors: `F32`, `BF16`, `F8_E4M3`. */
  readonly dtype: string;
  /** `[]` for a scalar. */
  readonly shape: readonly number[];
  readonly sizeBytes: number;
}

/** Rows of bytes of a tensor: row `i` starts at `offsetBytes + i * pitchBytes`. */
export interface KeptSlice {
  readonly offsetBytes: number;
  /** 1 and up. */
  readonly rows: number;
  /** 1 and up. */
  readonly rowBytes: number;
  /** `rowBytes` and up; equal to it if there is one row. */
  readonly pitchBytes: number;
}

/** All bytes of a tensor. None for an empty one. */
export function wholeOf({ sizeBytes }: CheckpointTensor): KeptSlice[] {
  return sizeBytes === 0 ? [] : [{ offsetBytes: 0, rows: 1, rowBytes: sizeBytes, pitchBytes: sizeBytes }];
}

/**
 * The elements from `from` up to, not including, `to` along one axis: the slice of one rank of a tensor-parallel model.
 *
 * @throws {RangeError} The axis or the range is not in the tensor's shape, or its bytes do not divide by its elements.
 */
export function sliceAlong(tensor: CheckpointTensor, axis: number, from: number, to: number): KeptSlice[] {
  const { name, shape, sizeBytes } = tensor;
  const length = shape[axis];
  const isInside = length !== undefined && from >= 0 && from <= to && to <= length;
  if (!isInside || ![axis, from, to].every(Number.isSafeInteger)) {
    throw new RangeError(
      `${from} to ${to} along axis ${axis} is not in tensor "${name}" of shape [${shape.join(', ')}]`,
    );
  }
  const count = (sizes: readonly number[]): number => sizes.reduce((product, size) => product * size, 1);
  if (sizeBytes === 0 || from === to) return [];
  const rows = count(shape.slice(0, axis));
  const stepBytes = sizeBytes / rows / length;
  if (!Number.isSafeInteger(stepBytes)) {
    throw new RangeError(`Tensor "${name}" cannot be sliced along axis ${axis}: one step has ${stepBytes} bytes`);
  }
  const rowBytes = (to - from) * stepBytes;
  const isOneRun = rows === 1 || rowBytes === length * stepBytes;
  if (isOneRun) {
    const allBytes = rows * rowBytes;
    return [{ offsetBytes: from * stepBytes, rows: 1, rowBytes: allBytes, pitchBytes: allBytes }];
  }
  return [{ offsetBytes: from * stepBytes, rows, rowBytes, pitchBytes: length * stepBytes }];
}
