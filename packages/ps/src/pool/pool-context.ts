import type { Device, HostMemory, Logger, Store } from '@checkpoint-engine/interface';

/** What holding a checkpoint needs from the server. */
export interface PoolContext {
  readonly device: Device;
  readonly store: Store;
  readonly signal: AbortSignal | undefined;
  readonly logger: Logger;
  /** Peers are to read what is held, and files that this device maps belong to this process alone. */
  readonly copiesForPeers: boolean;
  /** Gives memory of at least this size, from the pool that the caller asked for. */
  acquirePool(sizeBytes: number): Promise<HostMemory>;
  /** Takes it back. */
  releasePool(memory: HostMemory): void;
  onProgress(doneBytes: number, totalBytes: number): void;
}
