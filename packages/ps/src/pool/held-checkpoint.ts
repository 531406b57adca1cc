import type { HostMemory } from '@checkpoint-engine/interface';
import type { ParameterMeta } from '@checkpoint-engine/meta';

/** A checkpoint's share that lies in this rank's host memory, ready to be sent. */
export interface HeldCheckpoint {
  readonly regions: readonly HostMemory[];
  /** In pool order. */
  readonly tensors: readonly ParameterMeta[];
  /** Bytes of the tensors. */
  readonly sizeBytes: number;
  /** Bytes of the memory that holds them. */
  readonly poolBytes: number;
  readonly warnings: readonly string[];
  /** Files used in place that other ranks share: to be unlinked once all of them have mapped theirs. */
  readonly removableFiles: readonly string[];
  /** Gives the memory back (a shared pool: to its next user). Idempotent. */
  close(): void;
}
