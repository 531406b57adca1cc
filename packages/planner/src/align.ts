/**
 * Alignment of tensors in pools and in buckets, and of slot sizes, in bytes. Any dtype can be viewed at such an offset, and
 * copies run at full speed.
 */
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
