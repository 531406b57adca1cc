import type { RemoteMemory } from '@checkpoint-engine/interface';
import type { DType } from './dtype.ts';

/** One tensor and where its bytes lie in the pool of the rank that owns it. */
export interface ParameterMeta {
  readonly name: string;
  readonly dtype: DType;
  /** As the checkpoint has it; `[]` for a scalar. */
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  /** Index of the pool region that holds it. */
  readonly region: number;
  /** From the start of that region. */
  readonly offsetBytes: number;
}

/** One region of a rank's pool: an allocation, or a file mapped in place. */
export interface PoolRegion {
  readonly sizeBytes: number;
  /** How peers read it, once it is registered with a P2P transport. */
  readonly remote?: RemoteMemory | undefined;
}

/** What one rank owns of a checkpoint. Gathered from all ranks, these are all that planning needs. */
export interface RankMetas {
  readonly checkpoint: string;
  readonly rank: number;
  /** Identifies the host: ranks of equal `host` share memory and devices. */
  readonly host: string;
  readonly deviceUuid: string;
  /** Where peers read this rank's pool; absent without a P2P transport. */
  readonly p2pAddress?: string | undefined;
  /** NICs (or addresses) that this rank reads and serves through. */
  readonly nics: readonly string[];
  readonly regions: readonly PoolRegion[];
  /** In pool order: ascending by region, then by offset; ranges do not overlap. */
  readonly tensors: readonly ParameterMeta[];
}
