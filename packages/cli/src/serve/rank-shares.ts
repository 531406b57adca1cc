import { CheckpointEngineError, toCheckpointEngineError } from '@checkpoint-engine/interface';
import type { RankRegisterRequest } from '../config/requests.ts';
import { SHORT_CALL_MS } from './call-ranks.ts';
import { CatalogEntry } from './catalog.ts';
import { checkPaths } from './check-request.ts';
import type { RankSlot } from './rank-slot.ts';
import { REGISTER_MS, type RegistrationsOptions } from './registrations.ts';

/** Checkpoints for which each rank registers its own files. */
export class RankShares {
  readonly #options: RegistrationsOptions;

  constructor(options: RegistrationsOptions) {
    this.#options = options;
  }

  /** @throws `CE_CHECKPOINT_EXISTS`, `CE_FILE_*`, `CE_TENSOR_*`, `CE_RANK_LOST` */
  async register(name: string, rank: number, files: readonly string[], signal: AbortSignal): Promise<void> {
    const { catalog, slots, readiness, ask, allowedRoots, logger } = this.#options;
    checkPaths(files);
    const entry = catalog.getOrAdd(name, () => new CatalogEntry(name, undefined, slots.length, REGISTER_MS));
    entry.beginAt(rank);
    const slot = slots[rank]!;
    const stop = AbortSignal.any([signal, entry.registration.signal]);
    const request: RankRegisterRequest = { name, files, share: 'all', keepFiles: false, stream: false, allowedRoots };
    try {
      await readiness.untilReady(stop);
      const [registered] = await ask([slot], 'register', request, REGISTER_MS, { signal: stop });
      entry.noteRegisteredAt(rank, request, registered!);
      const { tensorCount, sizeBytes, durationMs } = registered!;
      const about = { checkpoint: name, rank, tensorCount, sizeBytes, durationMs: Math.round(durationMs) };
      logger.info(about, 'Registered files at a rank');
    } catch (thrown) {
      const error = toCheckpointEngineError(thrown);
      await this.#release(entry, slot);
      logger.error({ checkpoint: name, rank, err: error }, 'A registration failed');
      throw error;
    }
  }

  /** @returns Whether the rank held anything. @throws `CE_CHECKPOINT_BUSY`, `CE_CONFIG_INVALID` */
  async unregister(name: string, rank: number): Promise<boolean> {
    const { catalog, slots, logger } = this.#options;
    const entry = catalog.find(name);
    const state = entry?.stateAt(rank);
    if (entry === undefined || state === undefined) {
      logger.warn({ checkpoint: name, rank }, 'The rank does not hold this checkpoint');
      return false;
    }
    if (entry.request !== undefined) throw heldByAll(name);
    if (entry.isUpdating || state === 'registering') throw busy(name, rank);
    await this.#release(entry, slots[rank]!);
    logger.info({ checkpoint: name, rank }, 'Released the share of a rank');
    return true;
  }

  /** Never rejects: a rank that does not answer is killed. */
  async #release(entry: CatalogEntry, slot: RankSlot): Promise<void> {
    const { catalog, ask } = this.#options;
    await ask([slot], 'unregister', { name: entry.name }, SHORT_CALL_MS).catch(() => {});
    if (!entry.dropAt(slot.rank)) catalog.delete(entry);
  }
}

function heldByAll(name: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `Checkpoint "${name}" was registered for all ranks together`,
    'Delete it at the address of the whole server',
  );
}

function busy(name: string, rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CHECKPOINT_BUSY',
    `Checkpoint "${name}" is being registered at rank ${rank}, or used by an update`,
    'Delete it when that is over',
    { rank, retryable: true },
  );
}
