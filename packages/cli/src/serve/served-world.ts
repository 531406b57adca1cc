import { Buffer } from 'node:buffer';
import type {
  CheckpointView,
  HttpWorld,
  RankView,
  RegisterOrder,
  UpdateEvent,
  UpdateOrder,
  UpdateSummary,
} from '@checkpoint-engine/http';
import { CheckpointEngineError, type Logger, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { decodeWorldMetas } from '@checkpoint-engine/meta';
import type { StoreServer } from '@checkpoint-engine/ps';
import type { RegisterJob, WorldJob } from '../config/jobs.ts';
import { joinCalls } from '../process/join-calls.ts';
import type { CallJob, CallName, CallResult } from '../process/messages.ts';
import type { OpenRankPort } from '../process/rank-port.ts';
import type { CallOptions } from '../process/world.ts';
import { Catalog, CatalogEntry } from './catalog.ts';
import { RankSlot } from './rank-slot.ts';
import { Readiness } from './readiness.ts';
import { Turns } from './turns.ts';
import { untilAborted } from './until-aborted.ts';
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
  readonly update: Pick<CallJob<'update'>, 'bucketBytes' | 'deviceMemoryBytes' | 'stages' | 'releaseCommunicators'>;
  readonly allowedRoots?: readonly string[] | undefined;
  /** Where the ranks meet; none for a world of one. */
  readonly store?: Pick<StoreServer, 'lose'> | undefined;
  readonly logger: Logger;
  readonly onLogLine: (line: string, rank: number) => void;
}

/** How long ranks that were told to give a call up have for it, before they are ended. */
const SETTLE_MS = 20_000;
/** How long ranks have for metas. */
const GATHER_MS = 120_000;

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
  }

  ranks(): readonly RankView[] {
    return this.#slots;
  }

  checkpoints(): readonly CheckpointView[] {
    return this.#catalog.all.map((entry) => entry.view());
  }

  async register(
    name: string,
    order: RegisterOrder,
    { signal, onAccepted }: { readonly signal: AbortSignal; readonly onAccepted?: (() => void) | undefined },
  ): Promise<void> {
    const { keepFiles = false, stream = false } = order;
    const { allowedRoots } = this.#options;
    // One path may be a folder.
    const files = order.files.length === 1 ? order.files[0]! : order.files;
    // What is read in the background can be updated from meanwhile.
    const load = stream ? undefined : ('background' as const);
    const job: RegisterJob = { name, files, keepFiles, stream, load, allowedRoots };
    const entry = new CatalogEntry(name, job, this.worldSize);
    this.#catalog.add(entry);
    const stop = AbortSignal.any([signal, entry.registration.signal]);
    let isAccepted = false;
    try {
      await this.#readiness.untilReady(stop);
      const registered = await this.#call('register', job, { signal: stop });
      for (const [rank, share] of registered.entries()) entry.noteRegistered(rank, share, load === 'background');
      isAccepted = onAccepted !== undefined;
      onAccepted?.();
      if (load === 'background') {
        await this.#call('loaded', { name }, { signal: stop });
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
    await this.#together.take(() => this.#gather(entry, signal), signal);
  }

  async exportMetas(name: string): Promise<Uint8Array> {
    const entry = this.#catalog.get(name);
    return await this.#together.take(async () => {
      await this.#gatherAgain(entry, undefined);
      const { outcome } = this.#slots[0]!.call('getMetas', { name });
      const { value, failure } = await outcome;
      if (failure) throw failure.error;
      return new Uint8Array(Buffer.from(value, 'base64'));
    });
  }

  async importMetas(name: string, metas: Uint8Array): Promise<void> {
    checkName(name, metas);
    await this.#together.take(async () => {
      await this.#readiness.untilReady();
      const encoded = Buffer.from(metas).toString('base64');
      await this.#call('loadMetas', { metas: encoded });
      this.#catalog.getOrAdd(name, () => new CatalogEntry(name, undefined, this.worldSize)).noteImported(encoded);
    });
  }

  async update(
    name: string,
    order: UpdateOrder,
    { signal, onEvent }: { readonly signal: AbortSignal; readonly onEvent: (event: UpdateEvent) => void },
  ): Promise<UpdateSummary> {
    const entry = this.#catalog.get(name);
    const { engines, update } = this.#options;
    const { timeoutMs, weightVersion } = order;
    const targets = updateTargets(order, engines, this.worldSize);
    const ranks = order.ranks.length > 0 ? order.ranks : undefined;
    return await this.#together.take(async () => {
      entry.isUpdating = true;
      try {
        await this.#readiness.untilReady(signal);
        entry.checkWhole();
        await this.#gatherAgain(entry, signal);
        const job = { ...update, name, ranks, targets, timeoutMs, weightVersion };
        return summaryOf(await this.#call('update', job, { signal, onEvent }));
      } finally {
        entry.isUpdating = false;
      }
    }, signal);
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
    { signal, onEvent }: CallOptions = {},
  ): Promise<CallResult<Name>[]> {
    const calls = this.#slots.map((slot) => slot.call(name, job, onEvent));
    const { values, failed } = await joinCalls(calls, { signal, settleMs: SETTLE_MS });
    if (values) return values;
    for (const rank of failed.hanging) {
      this.#options.logger.error({ rank, call: name }, 'A rank did not give up what it was told to, and is ended');
      this.#slots[rank]!.kill();
    }
    throw failed.failure;
  }

  async #gather(entry: CatalogEntry, signal: AbortSignal | undefined): Promise<void> {
    await this.#readiness.untilReady(signal);
    entry.checkWhole();
    await this.#call('gatherMetas', { name: entry.name, timeoutMs: GATHER_MS }, { signal });
    entry.noteGathered();
  }

  async #gatherAgain(entry: CatalogEntry, signal: AbortSignal | undefined): Promise<void> {
    if (entry.mustGather) await this.#gather(entry, signal);
  }

  /** Ranks that do not have it have nothing to give back. */
  async #unregisterAtRanks(name: string, force = false): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.call('unregister', { name, force }).outcome));
  }

  /** Registers again at a rank that was restarted. */
  async #recover(slot: RankSlot): Promise<void> {
    for (const entry of this.#catalog.all) {
      if (entry.importedMetas) await slot.call('loadMetas', { metas: entry.importedMetas }).outcome;
      if (entry.isRegistering || !entry.job) continue;
      const { value, failure } = await slot.call('register', { ...entry.job, load: undefined }).outcome;
      // Who died again is asked again.
      if (failure?.died) return;
      try {
        if (failure) throw failure.error;
        entry.noteRegistered(slot.rank, value, false);
      } catch (thrown) {
        const error = toCheckpointEngineError(thrown);
        await slot.call('unregister', { name: entry.name }).outcome;
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
