import {
  atRank,
  CheckpointEngineError,
  type Device,
  type HostMemory,
  type Logger,
  type P2PEndpoint,
  type Store,
} from '@checkpoint-engine/interface';
import { nowMs } from '@checkpoint-engine/interface/shared';
import type { CheckpointSource, RegisteredCheckpoint, RegisterOptions } from '../registration.ts';
import type { HeldCheckpoint } from './held-checkpoint.ts';
import { hold } from './hold.ts';
import { type Offers, offerRegions } from './offer-regions.ts';
import type { PoolContext } from './pool-context.ts';
import { type RemovableFile, removeFile } from './remove-file.ts';
import { SharedPool } from './shared-pool.ts';

/** The parts of the rank that this class needs. */
export interface CheckpointsOptions {
  readonly device: Device;
  readonly store: Store;
  readonly logger: Logger;
  /** The endpoint through which peers read. */
  readonly endpoint: P2PEndpoint | undefined;
  /** Whether workers map pools. @default if peers read them */
  readonly sharesPools?: boolean | undefined;
}

/** A checkpoint that this rank holds, and how peers read it. */
export interface Entry {
  readonly held: HeldCheckpoint;
  /** A pool that is read in the background is offered to peers once it is complete. */
  offers: Offers;
  /** Files used in place that still have their names and are to be removed. */
  removableFiles: readonly RemovableFile[];
}

/** The checkpoints of a rank by name, and the memory that outlives them. */
export class Checkpoints {
  readonly #options: CheckpointsOptions;
  readonly #isShared: boolean;
  readonly #sharedPool: SharedPool;
  readonly #entries = new Map<string, Entry>();
  readonly #pending = new Set<string>();

  constructor(options: CheckpointsOptions) {
    this.#options = options;
    this.#isShared = options.sharesPools ?? options.endpoint !== undefined;
    this.#sharedPool = new SharedPool(options.device, { shared: this.#isShared });
  }

  get names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** @throws `CE_CHECKPOINT_UNKNOWN` */
  get(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    const { rank } = this.#options.store;
    throw new CheckpointEngineError(
      'CE_CHECKPOINT_UNKNOWN',
      `Checkpoint "${name}" is not registered at rank ${rank}; it holds ${JSON.stringify(this.names)}`,
      'Register it on every rank first',
      { rank },
    );
  }

  /** Adds a checkpoint and lets peers read it. Releases everything before it rejects. @throws `CE_CHECKPOINT_EXISTS` */
  async add(name: string, source: CheckpointSource, options: RegisterOptions): Promise<RegisteredCheckpoint> {
    const { rank } = this.#options.store;
    if (this.#entries.has(name) || this.#pending.has(name)) {
      throw new CheckpointEngineError(
        'CE_CHECKPOINT_EXISTS',
        `Checkpoint "${name}" is already registered`,
        'Unregister it first, or use another name',
        { rank },
      );
    }
    const startedAtMs = performance.now();
    this.#pending.add(name);
    try {
      const held = await hold(name, source, this.#poolContext(name, options));
      const entry: Entry = { held, offers: new Map(), removableFiles: held.removableFiles };
      try {
        await this.offer(entry);
      } catch (error) {
        await releaseEntry(entry);
        throw error;
      }
      this.#entries.set(name, entry);
      return {
        name,
        tensorCount: held.tensors.length,
        sizeBytes: held.sizeBytes,
        poolBytes: held.poolBytes,
        warnings: held.warnings,
        durationMs: performance.now() - startedAtMs,
      };
    } catch (error) {
      throw atRank(error, rank);
    } finally {
      this.#pending.delete(name);
    }
  }

  /** Lets peers read those regions of a checkpoint that are complete and not offered yet. */
  async offer(entry: Entry): Promise<void> {
    const { endpoint, store, logger } = this.#options;
    if (endpoint === undefined) return;
    const { regions, fill } = entry.held;
    const pending = fill?.isLoaded === false ? fill.memory : undefined;
    const ready = regions.filter(
      (region) => !entry.offers.has(region) && (!region.memory || region.memory !== pending),
    );
    const offers = await offerRegions(ready, { endpoint, rank: store.rank, logger });
    entry.offers = new Map([...entry.offers, ...offers]);
  }

  /**
   * Removes the files that a checkpoint uses in place, unless they are to be kept. The mappings keep the bytes. Never
   * rejects: a file that cannot be removed stays, and the log has the reason.
   *
   * @returns The files that this rank removed; other ranks of the host may have removed the rest.
   * @throws `CE_CHECKPOINT_UNKNOWN`
   */
  async removeFiles(name: string): Promise<readonly string[]> {
    const entry = this.get(name);
    const { logger, store } = this.#options;
    const files = entry.removableFiles;
    entry.removableFiles = [];
    const removed: string[] = [];
    for (const file of files) {
      try {
        if (await removeFile(file)) removed.push(file.path);
      } catch (error) {
        logger.warn(
          { rank: store.rank, file: file.path, err: error },
          'A file on /dev/shm cannot be removed and stays',
        );
      }
    }
    if (removed.length > 0) {
      logger.info(
        { rank: store.rank, checkpoint: name, files: removed },
        'Removed files on /dev/shm: their checkpoint is live',
      );
    }
    return removed;
  }

  /**
   * Removes a checkpoint and frees its memory.
   *
   * @param options.force Also free the shared pool, if the checkpoint used it.
   * @throws `CE_CHECKPOINT_UNKNOWN`
   */
  async remove(name: string, { force = false }: { readonly force?: boolean | undefined }): Promise<void> {
    const entry = this.get(name);
    this.#entries.delete(name);
    const usedSharedPool = this.#sharedPool.user === name;
    await releaseEntry(entry);
    if (usedSharedPool && force) this.#sharedPool.close();
  }

  /** Workers may still read this memory after a failed update, so it is not used for other checkpoints. */
  retirePools(): void {
    this.#sharedPool.retire();
  }

  /** Frees all memory. Idempotent. */
  async close(): Promise<void> {
    for (const entry of this.#entries.values()) await releaseEntry(entry);
    this.#entries.clear();
    this.#sharedPool.close();
  }

  /**
   * If only workers would map the memory, memory that cannot be shared works as well: they pull through a ring then.
   */
  async #allocate(sizeBytes: number): Promise<HostMemory> {
    const { device, endpoint, logger, store } = this.#options;
    try {
      return await device.allocateHost(sizeBytes, { shared: this.#isShared });
    } catch (error) {
      const isOptional = this.#isShared && endpoint === undefined;
      if (!isOptional || !CheckpointEngineError.isInstance(error) || error.code !== 'CE_SHM_TOO_SMALL') throw error;
      logger.warn(
        { rank: store.rank, err: error },
        'A checkpoint does not fit into shared memory and is held in other memory',
      );
      return await device.allocateHost(sizeBytes);
    }
  }

  #poolContext(name: string, { pool, signal, onEvent, digests = true }: RegisterOptions): PoolContext {
    const { device, store, logger, endpoint } = this.#options;
    const isShared = pool === 'shared';
    return {
      ...{ device, store, signal, logger, digests },
      // A device with its own pages maps files so that peers can read them; a host device maps them for itself only.
      copiesForPeers: endpoint !== undefined && device.supports.hostAddressable,
      // Allocations are never empty, so that a checkpoint of empty tensors is not a special case.
      acquirePool: (sizeBytes) => {
        const wanted = Math.max(sizeBytes, 1);
        return isShared ? this.#sharedPool.acquire(name, wanted) : this.#allocate(wanted);
      },
      releasePool: (memory) => (isShared ? this.#sharedPool.release() : memory.close()),
      onProgress: (doneBytes, totalBytes) =>
        onEvent?.({
          ...{ type: 'register', rank: store.rank, doneBytes, totalBytes },
          atMs: nowMs(),
        }),
    };
  }
}

async function releaseEntry({ held, offers }: Entry): Promise<void> {
  for (const registration of offers.values()) await registration?.close();
  await held.close();
}
