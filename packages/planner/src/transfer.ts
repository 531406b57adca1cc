/** Ranges of tensors in columns of equal length, ascending by tensor, then by offset. Plain data. */
export interface TensorRanges {
  /** Positions of the tensors in the metas of all ranks: by rank, then in pool order. */
  readonly tensor: Uint32Array;
  /** Bytes from the start of the tensor. */
  readonly tensorOffsetBytes: Float64Array;
  /** 0 only for a tensor without bytes. */
  readonly rangeBytes: Float64Array;
  /** Bytes from the start of the transfer to the range. */
  readonly offsetBytes: Float64Array;
}

/**
 * One step of the plan of an update: ranges of one owner's tensors that travel together into memory that workers read,
 * and the ranks whose workers take them from there. Plain data.
 *
 * A plan is a list of transfers for every method. With whole buckets, a transfer has complete tensors, and every
 * worker takes all of them; in a pull, it has the ranges that the workers of a host keep, and those workers take it.
 */
export interface Transfer extends TensorRanges {
  /** Position in the plan, 0 and up. */
  readonly index: number;
  /** Rank whose pool or files hold the tensors. */
  readonly ownerRank: number;
  /** Rank that copies the ranges into memory that workers read. */
  readonly readerRank: number;
  /** Ranks whose workers take the transfer, ascending. */
  readonly receivers: readonly number[];
  /** Bytes from the start of the transfer to the end of its last range, gaps included. */
  readonly sizeBytes: number;
}
