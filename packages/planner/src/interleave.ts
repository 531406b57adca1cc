/** A bucket whose place in the plan is not known yet. */
export interface PlacedBucket {
  readonly ownerRank: number;
  readonly sizeBytes: number;
}

/**
 * Merges the buckets of all owners into one sending order, so that owners copy to their devices while others send.
 *
 * If every owner sends its bytes at an even pace from the start to the end of the update, each bucket is due when its
 * middle is sent; the function orders buckets by that time. At any point of the order, every owner has therefore sent
 * the same share of its bytes, give or take half a bucket: owners with more bytes start earlier and come more often,
 * and all finish together. Owners of equal bytes take turns. If buckets are due at the same time, the owner with more
 * bytes goes first, then the lower rank.
 *
 * @param owners The buckets of each owner, in the order in which it sends them.
 */
export function interleave<T extends PlacedBucket>(owners: readonly (readonly T[])[]): T[] {
  return owners
    .flatMap(withDueTimes)
    .sort((a, b) => a.due - b.due || b.ownerBytes - a.ownerBytes || a.bucket.ownerRank - b.bucket.ownerRank)
    .map(({ bucket }) => bucket);
}

function withDueTimes<T extends PlacedBucket>(buckets: readonly T[]): { bucket: T; due: number; ownerBytes: number }[] {
  const ownerBytes = buckets.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let sentBytes = 0;
  return buckets.map((bucket) => {
    const due = ownerBytes === 0 ? 0 : (sentBytes + bucket.sizeBytes / 2) / ownerBytes;
    sentBytes += bucket.sizeBytes;
    return { bucket, due, ownerBytes };
  });
}
