import type { Device, HostMemory, Logger, Store } from '@checkpoint-engine/interface';

/** The parts of the server that are needed to hold a checkpoint. */
export interface PoolContext {
  readonly device: Device;
  readonly store: Store;
  readonly signal: AbortSignal | undefined;
  readonly logger: Logger;
  /** Whether files must be copied for peers, because files that this device maps are private to this process. */
  readonly copiesForPeers: boolean;
  /** Whether to digest the bytes of the checkpoint. */
  readonly digests: boolean;
  /** Returns memory of at least this size, from the pool that the caller selected. */
  acquirePool(sizeBytes: number): Promise<HostMemory>;
  /** Frees it. */
  releasePool(memory: HostMemory): void;
  onProgress(doneBytes: number, totalBytes: number): void;
}
