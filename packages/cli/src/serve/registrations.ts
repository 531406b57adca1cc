import type { HttpWorld, RegisterRequest } from '@checkpoint-engine/http';
import { type Logger, toCheckpointEngineError } from '@checkpoint-engine/interface';
import type { RankRegisterRequest } from '../config/requests.ts';
import { type AskRanks, SHORT_CALL_MS } from './call-ranks.ts';
import { type Catalog, CatalogEntry } from './catalog.ts';
import { checkPaths } from './check-request.ts';
import type { RankSlot } from './rank-slot.ts';
import { READY_MS, type Readiness } from './readiness.ts';
import { timeLeft } from './time-left.ts';

/** The default time-out of a registration. */
export const REGISTER_MS = 3_600_000;

/** The signal that ends a registration, and the callback for its first half. */
export type RegisterOptions = Parameters<HttpWorld['register']>[2];

/** The parts of a served world that registrations use. */
export interface RegistrationsOptions {
  readonly catalog: Catalog;
  /** By rank. */
  readonly slots: readonly RankSlot[];
  readonly readiness: Readiness;
  readonly ask: AskRanks;
  /** All files must be below these folders. @default anywhere */
  readonly allowedRoots: readonly string[] | undefined;
  readonly logger: Logger;
}

/** Registers checkpoints whose files all ranks share. */
export class Registrations {
  readonly #options: RegistrationsOptions;

  constructor(options: RegistrationsOptions) {
    this.#options = options;
  }

  /**
   * Registers a checkpoint at all ranks. If one rank fails, all release it.
   *
   * @throws `CE_CHECKPOINT_EXISTS`, `CE_FILE_*`, `CE_TENSOR_*`, `CE_DTYPE_UNKNOWN`, `CE_HOST_OUT_OF_MEMORY`,
   * `CE_RANK_LOST`
   */
  async register(
    name: string,
    { files, keepFiles = false, stream = false, timeoutMs = REGISTER_MS, weightVersion }: RegisterRequest,
    { signal, onAccepted }: RegisterOptions,
  ): Promise<void> {
    const { catalog, slots, readiness, ask, allowedRoots, logger } = this.#options;
    checkPaths(files);
    const request: RankRegisterRequest = {
      name,
      // One path may be a folder.
      files: files.length === 1 ? files[0]! : files,
      ...{ keepFiles, stream, allowedRoots, weightVersion },
      // Updates can start while files are still read in the background.
      load: stream ? undefined : 'background',
    };
    const readsInBackground = request.load === 'background';
    const entry = new CatalogEntry(name, request, slots.length, timeoutMs);
    catalog.add(entry);
    const stop = AbortSignal.any([signal, entry.registration.signal]);
    const startedAtMs = performance.now();
    const left = timeLeft(timeoutMs);
    let isAccepted = false;
    try {
      await readiness.untilReady(stop, Math.min(READY_MS, left()));
      const registered = await ask(slots, 'register', request, left(), { signal: stop });
      for (const [rank, share] of registered.entries()) entry.noteRegistered(rank, share, readsInBackground);
      isAccepted = onAccepted !== undefined;
      onAccepted?.();
      if (readsInBackground) {
        await ask(slots, 'loaded', { name }, left(), { signal: stop });
        entry.noteLoaded();
      }
      const { tensorCount, sizeBytes } = entry.view();
      const durationMs = Math.round(performance.now() - startedAtMs);
      logger.info({ checkpoint: name, tensorCount, sizeBytes, durationMs }, 'Registered a checkpoint');
    } catch (thrown) {
      const error = toCheckpointEngineError(thrown);
      await this.release(name);
      if (!isAccepted || stop.aborted) catalog.delete(entry);
      else entry.noteFailed(error);
      logger.error({ checkpoint: name, err: error }, 'A registration failed');
      throw error;
    }
  }

  /** Releases a checkpoint at all ranks. Those that do not answer are killed. Never rejects. */
  async release(name: string, force = false): Promise<void> {
    const { slots, ask } = this.#options;
    await Promise.allSettled(slots.map((slot) => ask([slot], 'unregister', { name, force }, SHORT_CALL_MS)));
  }
}
