/** A range of a tensor in which an engine holds other bytes than the checkpoint. */
export interface DifferingRange {
  /** Rank of the worker; the first of several whose slices differ together. */
  readonly rank: number;
  readonly tensor: string;
  /** From the start of the tensor. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** Digest of the checkpoint, 16 hexadecimal digits. */
  readonly expected: string;
  /** Digest of what the engine holds. */
  readonly seen: string;
}

/** The comparison of engines with a checkpoint, over all ranks. */
export interface VerifyReport {
  readonly checkpoint: string;
  /** The digest of the checkpoint, see `checkpointDigest`; absent while parts of it have not been read. */
  readonly digest?: string | undefined;
  /** Bytes that were compared, over all ranks. */
  readonly checkedBytes: number;
  /** Number of tensors that were compared, at some rank. */
  readonly checkedTensors: number;
  /** The first 100. */
  readonly differing: readonly DifferingRange[];
  readonly differingCount: number;
  /** Tensors that some worker keeps and could not compare: the engine holds them in another form. The first 100. */
  readonly unverified: readonly string[];
  readonly unverifiedTensors: number;
}
