/** A range of a tensor in which an engine's bytes differ from the checkpoint. */
export interface DifferingRange {
  /** Rank of the worker; the first of several whose slices were compared together. */
  readonly rank: number;
  /**
   * The other ranks whose slices were compared together with that of `rank`: the difference is on at least one of them.
   */
  readonly otherRanks: readonly number[];
  readonly tensor: string;
  /** Start of the first block that differs, from the start of the tensor. */
  readonly offsetBytes: number;
  /** Size up to the end of the last block that differs. */
  readonly sizeBytes: number;
  /** Digest of the differing blocks in the checkpoint, 16 hexadecimal digits. */
  readonly expected: string;
  /** Digest of what the engine holds of these blocks. */
  readonly seen: string;
}

/** The comparison of engines with a checkpoint, over all ranks. */
export interface VerifyReport {
  readonly checkpoint: string;
  /** The digest of the checkpoint, see `checkpointDigest`; absent while parts of it have not been read. */
  readonly digest?: string | undefined;
  /** Bytes that were compared, over all ranks. */
  readonly checkedBytes: number;
  /** Number of tensors that were compared on at least one rank. */
  readonly checkedTensors: number;
  /** The first 100, at most one for each tensor and each group of ranks that hold its bytes together. */
  readonly differing: readonly DifferingRange[];
  readonly differingCount: number;
  /** The first 100 tensors that a worker keeps and could not compare, because the engine holds them in another form. */
  readonly unverified: readonly string[];
  readonly unverifiedTensors: number;
}
