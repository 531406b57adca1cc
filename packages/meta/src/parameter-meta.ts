import type { RemoteMemory } from '@checkpoint-engine/interface';
import type { DType } from './dtype.ts';

/** One tensor and its location in the pool of the rank that owns it. */
export interface ParameterMeta {
  readonly name: string;
  readonly dtype: DType;
  /** Shape in the checkpoint; `[]` for a scalar. */
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  /** Index of the pool region that holds it. */
  readonly region: number;
  /** Bytes from the start of that region. */
  readonly offsetBytes: number;
}

/** One region of a rank's pool: an allocation, or a file mapped in place. */
export interface PoolRegion {
  readonly sizeBytes: number;
  /** How peers read the region, once it is registered with a P2P transport. */
  readonly remote?: RemoteMemory | undefined;
}

/** Digests of the bytes of tensors, as `digestBytes` defines them: one for each block of each tensor. */
export interface BlockDigests {
  /** Bytes of a tensor that share a digest; the last block of a tensor can be shorter. A power of 2, 4096 and up. */
  readonly blockBytes: number;
  /** The blocks of the first tensor, then those of the second, and so on. Empty tensors have none. */
  readonly blocks: BigUint64Array;
}

/** The part of a checkpoint that one rank owns. The metas of all ranks are the complete input of planning. */
export interface RankMetas {
  readonly checkpoint: string;
  readonly rank: number;
  /** Identifies the host: ranks of equal `host` share memory and devices. */
  readonly host: string;
  readonly deviceUuid: string;
  /** Address where peers read this rank's pool; absent without a P2P transport. */
  readonly p2pAddress?: string | undefined;
  /** NICs (or addresses) that this rank uses for reading and serving. */
  readonly nics: readonly string[];
  readonly regions: readonly PoolRegion[];
  /** In pool order: ascending by region, then by offset; tensors do not overlap. */
  readonly tensors: readonly ParameterMeta[];
  /** Absent if the bytes were not read yet, and in metas of older releases. */
  readonly digests?: BlockDigests | undefined;
  /**
   * Version of the weights; the same at all ranks. Absent if the checkpoint was given none and no update has brought it
   * to an engine, and in metas of older releases.
   */
  readonly weightVersion?: string | undefined;
}
