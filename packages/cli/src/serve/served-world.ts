import { Buffer } from 'node:buffer';
import { isAbsolute } from 'node:path';
import type {
  CheckpointView,
  HttpWorld,
  RankView,
  RegisterRequest,
  UpdateEvent,
  UpdateRequest,
  UpdateSummary,
} from '@checkpoint-engine/http';
import { CheckpointEngineError, type Logger, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import { decodeWorldMetas } from '@checkpoint-engine/meta';
import type { StoreServer } from '@checkpoint-engine/ps';
import { canMap, type RankRegisterRequest, type WorldJob } from '../config/jobs.ts';
import type { CallJob, CallName, CallResult } from '../process/messages.ts';
import type { OpenRankPort } from '../process/rank-port.ts';
import type { CallOptions } from '../process/world.ts';
import { callRanks } from './call-ranks.ts';
import { Catalog, CatalogEntry } from './catalog.ts';
import { RankSlot } from './rank-slot.ts';
import { READY_MS, Readiness } from './readiness.ts';
import { Turns } from './turns.ts';
import { summaryOf } from './update-summary.ts';
import { type DefaultTargets, updateTargets } from './update-targets.ts';

/** Where a rank runs. */
export interface RankPlace {
  readonly node: number;
  readonly open: OpenRankPort;
}

/** What a {@link ServedWorld} is made of. */
export interface ServedWorldOptions {
  /** By rank. */
  readonly places: readonly RankPlace[];
  readonly job: WorldJob;
  readonly engines: DefaultTargets;
  readonly update: Pick<CallJob<'update'>, 'bucketBytes' | 'deviceMemoryBytes' | 'strategy' | 'releaseCommunicators'>;
  readonly allowedRoots?: readonly string[] | undefined;
  /** Where the ranks meet; none for a world of one. */
  readonly store?: Pick<StoreServer, 'lose'> | undefined;
  readonly logger: Logger;
  readonly onLogLine: (line: string, rank: number) => void;
}

/** How long ranks have for metas. */
const GATHER_MS = 120_000;
/** How long ranks have to give a checkpoint's memory back, and to give or take metas. */
const SHORT_CALL_MS = 60_000;
/** How long workers may take to map and record what updates need. */
const PREPARE_MS = 120_000;
/** How long ranks have to read a checkpoint, unless its registration says otherwise. */
const REGISTER_MS = 3_600_000;
/** How long making the communicators ahead may take. */
const CONNECT_MS = 60_000;

/** A world that outlives failures: ranks that die are restarted and brought to where they were. */
export class ServedWorld implements HttpWorld {
  readonly worldSize: number;
  readonly #options: ServedWorldOptions;
  readonly #slots: readonly RankSlot[];
  readonly #catalog = new Catalog();
  /** What all ranks have to do together. */
  readonly #together = new Turns();
  readonly #readiness: Readiness;

  constructor(options: ServedWorldOptions) {
    const { places, job, logger, onLogLine } = options;
    this.#options = options;
    this.worldSize = places.length;
    this.#slots = places.map(
      ({ node, open }, rank) =>
        new RankSlot({
          rank,
          node,
          job,
          open,
          logger,
          onLogLine,
          recover: (slot) => this.#recover(slot),
          onChange: (slot, error) => this.#onChange(slot, error),
        }),
    );
    this.#readiness = new Readiness(this.#slots);
  }

  /**
   * Starts the ranks; resolves when all have joined.
   *
   * @throws Why one did not, or the signal's reason. Close the world then.
   */
  async start(signal: AbortSignal): Promise<void> {
    await untilAborted(Promise.all(this.#slots.map((slot) => slot.start())), signal);
    const { targets } = this.#options.engines;
    if (targets === undefined) return;
    // The first update then need not. It waits for it, and says what is wrong if it fails.
    const job = { targets, timeoutMs: CONNECT_MS };
    for (const slot of this.#slots) slot.call('connect', job).outcome.catch(() => {});
  }

  ranks(): readonly RankView[] {
    return this.#slots;
  }

  checkpoints(): readonly CheckpointView[] {
    return this.#catalog.all.map((entry) => entry.view());
  }

  async register(
    name: string,
    request: RegisterRequest,
    { signal, onAccepted }: { readonly signal: AbortSignal; readonly onAccepted?: (() => void) | undefined },
  ): Promise<void> {
    const { keepFiles = false, stream = false, timeoutMs = REGISTER_MS } = request;
    const { allowedRoots } = this.#options;
    checkPaths(request.files);
    // One path may be a folder.
    const files = request.files.length === 1 ? request.files[0]! : request.files;
    // What is read in the background can be updated from meanwhile.
    const load = stream ? undefined : ('background' as const);
    const job: RankRegisterRequest = { name, files, keepFiles, stream, load, allowedRoots };
    const entry = new CatalogEntry(name, job, this.worldSize, timeoutMs);
    this.#catalog.add(entry);
    const stop = AbortSignal.any([signal, entry.registration.signal]);
    const left = timeLeft(timeoutMs);
    let isAccepted = false;
    try {
      await this.#readiness.untilReady(stop, Math.min(READY_MS, left()));
      const registered = await this.#call('register', job, left(), { signal: stop });
      for (const [rank, share] of registered.entries()) entry.noteRegistered(rank, share, load === 'background');
      isAccepted = onAccepted !== undefined;
      onAccepted?.();
      if (load === 'background') {
        await this.#call('loaded', { name }, left(), { signal: stop });
        entry.noteLoaded();
      }
    } catch (thrown) {
      const error = toCheckpointEngineError(thrown);
      await this.#unregisterAtRanks(name);
      if (!isAccepted || stop.aborted) this.#catalog.delete(entry);
      else entry.noteFailed(error);
      this.#options.logger.error({ checkpoint: name, err: error }, 'A registration failed');
      throw error;
    }
  }

  async unregister(name: string, { force }: { readonly force: boolean }): Promise<void> {
    const entry = this.#catalog.get(name);
    if (entry.isUpdating) throw busy(name);
    entry.registration.abort(unregistered(name));
    await this.#together.take(async () => {
      this.#catalog.delete(entry);
      await this.#unregisterAtRanks(name, force);
    });
  }

  async gatherMetas(name: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const entry = this.#catalog.get(name);
    await this.#together.take(
      async () => {
        await this.#gather(entry, signal, GATHER_MS);
        await this.#prepare(entry, signal);
      },
      { signal },
    );
  }

  async exportMetas(name: string): Promise<Uint8Array> {
    const entry = this.#catalog.get(name);
    return await this.#together.take(async () => {
      await this.#gatherAgain(entry, undefined, GATHER_MS);
      const [metas] = await this.#callSome([this.#slots[0]!], 'getMetas', { name }, SHORT_CALL_MS);
      return new Uint8Array(Buffer.from(metas!, 'base64'));
    });
  }

  async importMetas(name: string, metas: Uint8Array): Promise<void> {
    checkName(name, metas);
    await this.#together.take(async () => {
      await this.#readiness.untilReady();
      const encoded = Buffer.from(metas).toString('base64');
      await this.#call('loadMetas', { metas: encoded }, SHORT_CALL_MS);
      this.#catalog
        .getOrAdd(name, () => new CatalogEntry(name, undefined, this.worldSize, REGISTER_MS))
        .noteImported(encoded);
    });
  }

  async update(
    name: string,
    request: UpdateRequest,
    { signal, onEvent }: { readonly signal: AbortSignal; readonly onEvent: (event: UpdateEvent) => void },
  ): Promise<UpdateSummary> {
    const entry = this.#catalog.get(name);
    const { engines, update } = this.#options;
    const { timeoutMs, weightVersion } = request;
    const targets = updateTargets(request, engines, this.worldSize);
    const ranks = request.ranks.length > 0 ? request.ranks : undefined;
    return await this.#together.take(
      async () => {
        const left = timeLeft(timeoutMs);
        entry.isUpdating = true;
        try {
          await this.#untilReadyWithin(name, timeoutMs, signal);
          entry.checkWhole();
          await this.#gatherAgain(entry, signal, Math.min(GATHER_MS, left()));
          const job = { ...update, name, ranks, targets, timeoutMs: left(), weightVersion };
          return summaryOf(await this.#call('update', job, job.timeoutMs, { signal, onEvent }));
        } finally {
          entry.isUpdating = false;
        }
      },
      { signal, waitMs: timeoutMs },
    );
  }

  /** Ends all ranks now. */
  kill(): void {
    for (const slot of this.#slots) slot.kill();
  }

  /** Lets all ranks give back what they hold. Resolves when their processes have ended. Idempotent. */
  async close(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.close()));
    // Who was killed has not left by itself.
    for (const { rank } of this.#slots) this.#options.store?.lose(rank, `Rank ${rank} has ended`);
  }

  /** @throws The first failure of any rank. */
  async #call<Name extends CallName>(
    name: Name,
    job: CallJob<Name>,
    timeoutMs: number,
    options?: CallOptions,
  ): Promise<CallResult<Name>[]> {
    return await this.#callSome(this.#slots, name, job, timeoutMs, options);
  }

  #callSome<Name extends CallName>(
    slots: readonly RankSlot[],
    name: Name,
    job: CallJob<Name>,
    timeoutMs: number,
    options: CallOptions = {},
  ): Promise<CallResult<Name>[]> {
    return callRanks(slots, { name, job, timeoutMs, ...options }, this.#options.logger);
  }

  /** Waits for ranks that are restarted, within the time of an update. @throws `CE_TIMEOUT`, `CE_RANK_LOST`, `CE_ABORTED` */
  async #untilReadyWithin(name: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#readiness.untilReady(signal, Math.min(READY_MS, timeoutMs));
    } catch (thrown) {
      const error = toCheckpointEngineError(thrown);
      if (error.code !== 'CE_RANK_LOST' || timeoutMs >= READY_MS) throw error;
      throw new CheckpointEngineError(
        'CE_TIMEOUT',
        `The update of checkpoint "${name}" did not begin within ${timeoutMs} ms: ${error.message}`,
        'Run it again when /v1/readyz says ready, or with a longer time-out',
        { rank: error.rank, peer: error.peer, retryable: true },
      );
    }
  }

  async #gather(entry: CatalogEntry, signal: AbortSignal | undefined, timeoutMs: number): Promise<void> {
    await this.#readiness.untilReady(signal);
    entry.checkWhole();
    await this.#call('gatherMetas', { name: entry.name, timeoutMs }, timeoutMs, { signal });
    entry.noteGathered();
  }

  /** Workers map and record ahead, so that no update waits for it. The update does what fails here. Never rejects. */
  async #prepare({ name }: CatalogEntry, signal: AbortSignal): Promise<void> {
    const { engines, update, logger } = this.#options;
    const { targets } = engines;
    if (targets === undefined || update.strategy === 'buckets' || !canMap(targets.engine, update.strategy ?? 'auto'))
      return;
    const timeoutMs = PREPARE_MS;
    try {
      const [can] = await this.#callSome([this.#slots[0]!], 'canPrepare', { targets, timeoutMs }, timeoutMs, {
        signal,
      });
      if (can) await this.#call('prepare', { ...update, name, targets, timeoutMs }, timeoutMs, { signal });
    } catch (thrown) {
      const err = toCheckpointEngineError(thrown);
      logger.warn({ checkpoint: name, err }, 'Workers could not prepare for updates of a checkpoint');
    }
  }

  async #gatherAgain(entry: CatalogEntry, signal: AbortSignal | undefined, timeoutMs: number): Promise<void> {
    if (entry.mustGather) await this.#gather(entry, signal, timeoutMs);
  }

  /** Ranks that do not have it have nothing to give back, and those that do not answer are ended. Never rejects. */
  async #unregisterAtRanks(name: string, force = false): Promise<void> {
    const unregister = (slot: RankSlot) => this.#callSome([slot], 'unregister', { name, force }, SHORT_CALL_MS);
    await Promise.allSettled(this.#slots.map(unregister));
  }

  /** Registers again at a rank that was restarted. */
  async #recover(slot: RankSlot): Promise<void> {
    for (const entry of this.#catalog.all) {
      const metas = entry.importedMetas;
      if (metas) await this.#callSome([slot], 'loadMetas', { metas }, SHORT_CALL_MS).catch(() => {});
      if (entry.isRegistering || !entry.job) continue;
      try {
        const job = { ...entry.job, load: undefined };
        const [registered] = await this.#callSome([slot], 'register', job, entry.timeoutMs);
        entry.noteRegistered(slot.rank, registered!, false);
      } catch (thrown) {
        // A rank that died again is asked again.
        if (!slot.isRunning) return;
        const error = toCheckpointEngineError(thrown);
        await this.#callSome([slot], 'unregister', { name: entry.name }, SHORT_CALL_MS).catch(() => {});
        entry.noteLost(slot.rank, error);
        this.#options.logger.error({ rank: slot.rank, checkpoint: entry.name, err: error }, 'A share is lost');
      }
    }
  }

  #onChange(slot: RankSlot, error: CheckpointEngineError | undefined): void {
    if (slot.state === 'lost') {
      this.#options.store?.lose(slot.rank, error?.message ?? `Rank ${slot.rank} ended`);
      for (const entry of this.#catalog.all) entry.noteRankLost();
    }
    this.#readiness.noteChange();
  }
}

/** What is left of a time, in steps of 100 ms, so that messages tell the time-out that was asked for. */
function timeLeft(timeoutMs: number): () => number {
  const endsAtMs = performance.now() + timeoutMs;
  return () => Math.max(100, Math.ceil((endsAtMs - performance.now()) / 100) * 100);
}

/** Ranks on other hosts, and clients, have other working folders. */
function checkPaths(files: readonly string[]): void {
  const relative = files.find((file) => !isAbsolute(file));
  if (relative === undefined) return;
  throw new CheckpointEngineError(
    'CE_REQUEST_INVALID',
    `"${relative}" is a relative path, and the server does not know to which folder`,
    'Send absolute paths, as the ranks see them',
    { file: relative },
  );
}

function checkName(name: string, metas: Uint8Array): void {
  const named = decodeWorldMetas(metas)[0]?.checkpoint;
  if (named === name) return;
  throw new CheckpointEngineError(
    'CE_METAS_INVALID',
    `The metas are those of checkpoint "${named}", not of "${name}"`,
    'Send them to the path of their checkpoint',
  );
}

function busy(name: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CHECKPOINT_BUSY',
    `Checkpoint "${name}" is being updated from`,
    'Try again when the update is over, or cancel it with DELETE /v1/updates/{id}',
    { retryable: true },
  );
}

function unregistered(name: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_ABORTED',
    `Checkpoint "${name}" was deleted while it was registered`,
    'Register it again',
  );
}
