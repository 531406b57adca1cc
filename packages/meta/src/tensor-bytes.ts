import { type DType, dtypeBits } from './dtype.ts';

/**
 * Returns the exact size of a tensor in bytes: the product of its shape times the bits of its dtype.
 *
 * @param shape Elements per dimension; `[]` is a scalar, a dimension of 0 makes an empty tensor.
 * @throws {RangeError} A dimension is not a whole number from 0 to `Number.MAX_SAFE_INTEGER`, the elements or bytes
 *   exceed that, elements of less than a byte do not fill whole bytes, or `dtype` is not a known dtype.
 */
export function tensorBytes(dtype: DType, shape: readonly number[]): number {
  const bits = dtypeBits(dtype);
  let elements = 1;
  for (const dimension of shape) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) {
      throw new RangeError(
        `Dimension ${dimension} of shape [${shape}], expected whole numbers from 0 to ${Number.MAX_SAFE_INTEGER}`,
      );
    }
    elements *= dimension;
    if (elements > Number.MAX_SAFE_INTEGER) throw tooLarge('elements', dtype, shape);
  }
  // The smallest number of elements that fills whole bytes, and those bytes: F4 2 in 1, F6 4 in 3, F32 1 in 4.
  const groupElements = bits % 8 === 0 ? 1 : bits % 4 === 0 ? 2 : 4;
  const groupBytes = (bits * groupElements) / 8;
  if (elements % groupElements !== 0) {
    throw new RangeError(
      `${dtype} of shape [${shape}] has ${elements} elements, expected a multiple of ${groupElements} to fill whole bytes`,
    );
  }
  const sizeBytes = (elements / groupElements) * groupBytes;
  if (sizeBytes > Number.MAX_SAFE_INTEGER) throw tooLarge('bytes', dtype, shape);
  return sizeBytes;
}

function tooLarge(unit: string, dtype: DType, shape: readonly number[]): RangeError {
  return new RangeError(`${dtype} of shape [${shape}] has more ${unit} than ${Number.MAX_SAFE_INTEGER}`);
}
