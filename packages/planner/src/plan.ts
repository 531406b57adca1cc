/** One bucket: tensors of one owner that travel together and are loaded in one call. Plain data. */
export interface Bucket {
  /** Index in {@link Plan.buckets}; ranks send buckets in this order. */
  readonly index: number;
  /** Rank whose pool holds the tensors. */
  readonly ownerRank: number;
  /**
   * Bytes from the start of the bucket to the end of its last tensor, alignment included. 0 if all its tensors are
   * empty.
   */
  readonly sizeBytes: number;
  /** Index of the first tensor in the owner's metas. */
  readonly firstTensor: number;
  /** Number of tensors, at least 1. */
  readonly tensorCount: number;
  /**
   * Indices of the tensors in the owner's metas, ascending. Absent if they are contiguous: `firstTensor` up to, but not
   * including, `firstTensor + tensorCount`. See {@link bucketTensors}.
   */
  readonly indices?: readonly number[] | undefined;
}

/** The tensors that are sent together, in order. Plain data, equal on every rank that has equal metas. */
export interface Plan {
  /** Size of a slot that holds any of the buckets. */
  readonly bucketBytes: number;
  /** Tensors start at multiples of this in their bucket. */
  readonly alignBytes: number;
  /** Bytes of all tensors, without alignment. */
  readonly totalBytes: number;
  readonly tensorCount: number;
  readonly buckets: readonly Bucket[];
  /**
   * 16 hexadecimal digits. Ranks with equal digests made the same plan: same options, same buckets in the same order,
   * and the same name of the first tensor of each bucket. The digest does not cover the other tensors, and is not
   * cryptographic.
   */
  readonly digest: string;
}
