/**
 * Tensors start at multiples of this, in pools and in buckets, and slots are multiples of it: any dtype can be viewed
 * there, and copies run at full speed.
 */
export const DEFAULT_ALIGN_BYTES = 256;

/** The smallest multiple of `alignBytes` that is not below `bytes`. `alignBytes` is a power of two, so this is exact. */
export function alignUp(bytes: number, alignBytes: number): number {
  return Math.ceil(bytes / alignBytes) * alignBytes;
}

/** The largest multiple of `alignBytes` that is not above `bytes`. */
export function alignDown(bytes: number, alignBytes: number): number {
  return Math.floor(bytes / alignBytes) * alignBytes;
}
