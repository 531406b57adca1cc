import { alignUp, DEFAULT_ALIGN_BYTES } from './align.ts';

/** Location of one bucket in a ring of bytes. */
export interface Placement {
  /** Bytes from the start of the ring, a multiple of 256. The bucket is contiguous. */
  readonly offsetBytes: number;
  /**
   * Index of the last earlier bucket whose bytes this bucket, or a bucket before it, overwrites; -1 if there is none.
   * It never decreases from one bucket to the next.
   */
  readonly after: number;
}

/**
 * Places buckets one after another in a ring of bytes, so that buckets of any size share it. A bucket that does not fit
 * before the end starts at the beginning of the ring. Every rank computes the same places.
 *
 * A rank may write a bucket once no bucket up to and including `after` is needed any longer.
 *
 * @param sizesBytes Sizes of the buckets, in plan order.
 * @param ringBytes  At least the aligned size of the largest bucket.
 * @throws {RangeError} A bucket is larger than the ring.
 */
export function placeInRing(sizesBytes: readonly number[], ringBytes: number): Placement[] {
  let head = 0;
  let after = -1;
  /** Buckets that are not overwritten yet, oldest first. */
  let held: { index: number; from: number; to: number }[] = [];
  return sizesBytes.map((sizeBytes, index) => {
    const spanBytes = alignUp(sizeBytes, DEFAULT_ALIGN_BYTES);
    if (spanBytes > ringBytes) {
      throw new RangeError(`Bucket ${index} of ${spanBytes} bytes does not fit a ring of ${ringBytes} bytes`);
    }
    if (head + spanBytes > ringBytes) head = 0;
    const from = head;
    const to = from + spanBytes;
    head = to;
    after = held.findLast((other) => other.from < to && from < other.to)?.index ?? after;
    held = held.filter((other) => other.index > after);
    if (spanBytes > 0) held.push({ index, from, to });
    return { offsetBytes: from, after };
  });
}
