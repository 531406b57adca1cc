import { type DType, dtypeBits } from './dtype.ts';

/**
 * Bytes of a tensor, exactly: the product of its shape times the bits of its dtype.
 *
 * @param shape Elements a dimension; `[]` is a scalar, a dimension of 0 an empty tensor.
 * @throws {RangeError} A dimension is no whole number from 0 to `Number.MAX_SAFE_INTEGER`, the elements or bytes exceed
 *   that, elements of less than a byte do not fill whole bytes, or `dtype` is no dtype.
 */
export function tensorBytes(dtype: DType, shape: readonly number[]): number {
  const bits = dtypeBits(dtype);
  let elements = 1;
  for (const dimension of shape) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) {
      throw new RangeError(
        `Dimension ${dimension} of shape [${shape}], want whole numbers from 0 to ${Number.MAX_SAFE_INTEGER}`,
      );
    }
    elements *= dimension;
    if (elements > Number.MAX_SAFE_INTEGER) throw tooLarge('elements', dtype, shape);
  }
  // The fewest elements that fill whole bytes, and those bytes: F4 2 in 1, F6 4 in 3, F32 1 in 4.
  const groupElements = bits % 8 === 0 ? 1 : bits % 4 === 0 ? 2 : 4;
  const groupBytes = (bits * groupElements) / 8;
  if (elements % groupElements !== 0) {
    throw new RangeError(
      `${dtype} of shape [${shape}] has ${elements} elements, want a multiple of ${groupElements} to fill whole bytes`,
    );
  }
  const sizeBytes = (elements / groupElements) * groupBytes;
  if (sizeBytes > Number.MAX_SAFE_INTEGER) throw tooLarge('bytes', dtype, shape);
  return sizeBytes;
}

function tooLarge(unit: string, dtype: DType, shape: readonly number[]): RangeError {
  return new RangeError(`${dtype} of shape [${shape}] has more ${unit} than ${Number.MAX_SAFE_INTEGER}`);
}
