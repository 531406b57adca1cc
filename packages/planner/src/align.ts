/** Default alignment of tensors in a bucket, and of slot sizes. */
export const DEFAULT_ALIGN_BYTES = 256;

/**
 * Returns the smallest multiple of `alignBytes` that is not below `bytes`. `alignBytes` is a power of two, so this is
 * exact.
 */
export function alignUp(bytes: number, alignBytes: number): number {
  return Math.ceil(bytes / alignBytes) * alignBytes;
}

/** Returns the largest multiple of `alignBytes` that is not above `bytes`. */
export function alignDown(bytes: number, alignBytes: number): number {
  return Math.floor(bytes / alignBytes) * alignBytes;
}
