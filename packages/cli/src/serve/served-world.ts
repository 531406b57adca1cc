import type {
  AskOptions,
  CheckpointView,
  InstanceAnswer,
  RankView,
  RankWorld,
  RegisterRequest,
  UpdateEvent,
  UpdateRequest,
  UpdateSummary,
  VerifyRequest,
} from '@checkpoint-engine/http';
import { checkpointBusy, checkpointDeleted } from '@checkpoint-engine/http';
import type { CheckpointEngineError, Logger } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { StoreServer, VerifyReport } from '@checkpoint-engine/ps';
import type { WorldSettings } from '../config/requests.ts';
import type { CallName, CallRequest, CallResult } from '../process/messages.ts';
import type { OpenRankPort } from '../process/rank-port.ts';
import type { CallOptions } from '../process/world.ts';
import { type AskRanks, callRanks } from './call-ranks.ts';
import { Catalog } from './catalog.ts';
import { checkName } from './check-request.ts';
import { type PrepareRequest, prepareWorkers } from './prepare-workers.ts';
import { RankShares } from './rank-shares.ts';
import { RankSlot } from './rank-slot.ts';
import { Readiness } from './readiness.ts';
import { recoverRank } from './recover-rank.ts';
import { type RegisterOptions, Registrations } from './registrations.ts';
import { GATHER_MS, ServedMetas } from './served-metas.ts';
import { timeLeft } from './time-left.ts';
import { Turns } from './turns.ts';
import { updateRanks } from './update-ranks.ts';
import { summaryOf } from './update-summary.ts';
import { type DefaultTargets, endpointsOf, updateTargets } from './update-targets.ts';

/** The host of a rank, and the function that starts the rank there. */
export interface RankPlace {
  readonly node: number;
  readonly open: OpenRankPort;
}

/** The options of a {@link ServedWorld}. */
export interface ServedWorldOptions {
  /** By rank. */
  readonly places: readonly RankPlace[];
  readonly settings: WorldSettings;
  readonly engines: DefaultTargets;
  readonly update: PrepareRequest['update'];
  readonly allowedRoots?: readonly string[] | undefined;
  /** The address of the store of the ranks. Absent for a world of one rank. */
  readonly store?: Pick<StoreServer, 'lose'> | undefined;
  readonly logger: Logger;
  readonly onLogLine: (line: string, rank: number) => void;
}

/** The time-out of querying the versions that the engines hold. */
const ASK_MS = 10_000;
/** Time limit for the ranks to start, before instances are queried: longer than that of joining the world. */
const START_MS = 140_000;
/** The time-out of creating communicators before the first update. */
const CONNECT_MS = 60_000;

/** A world that survives failures: it restarts ranks that die and registers their checkpoints again. */
export class ServedWorld implements RankWorld {
  readonly worldSize: number;
  readonly instances: readonly string[];
  readonly #options: ServedWorldOptions;
  readonly #slots: readonly RankSlot[];
  readonly #catalog = new Catalog();
  /** Runs the calls that all ranks make together, one after another. */
  readonly #together = new Turns();
  readonly #readiness: Readiness;
  readonly #metas: ServedMetas;
  readonly #registrations: Registrations;
  /** Checkpoints for which ranks have their own files. */
  readonly #shares: RankShares;

  constructor(options: ServedWorldOptions) {
    const { places, settings, logger, onLogLine } = options;
    this.#options = options;
    this.worldSize = places.length;
    this.instances = endpointsOf(options.engines.targets, [...places.keys()]).map(({ endpoint }) => endpoint);
    this.#slots = places.map(
      ({ node, open }, rank) =>
        new RankSlot({
          rank,
          node,
          settings,
          open,
          logger,
          onLogLine,
          recover: (slot) => recoverRank(slot, this.#catalog, this.#ask, logger),
          onChange: (slot, error) => this.#onChange(slot, error),
        }),
    );
    this.#readiness = new Readiness(this.#slots);
    const registering = {
      ...{ catalog: this.#catalog, slots: this.#slots, readiness: this.#readiness, ask: this.#ask, logger },
      allowedRoots: options.allowedRoots,
    };
    this.#metas = new ServedMetas(registering);
    this.#registrations = new Registrations(registering);
    this.#shares = new RankShares(registering);
  }

  /**
   * Starts the ranks. Resolves when all have joined.
   *
   * @throws The failure of the first rank that does not join, or the signal's reason. Close the world then.
   */
  async start(signal: AbortSignal): Promise<void> {
    await untilAborted(Promise.all(this.#slots.map((slot) => slot.start())), signal);
    const { engines, update } = this.#options;
    const { targets } = engines;
    if (targets === undefined || update.releaseCommunicators === true) return;
    // This spares the first update the time. The update waits for this call and reports the error if it fails.
    const request = { targets, timeoutMs: CONNECT_MS };
    for (const slot of this.#slots) slot.call('connect', request).outcome.catch(() => {});
  }

  ranks(): readonly RankView[] {
    return this.#slots;
  }

  checkpoints(): readonly CheckpointView[] {
    return this.#catalog.all.map((entry) => entry.view());
  }

  register(name: string, request: RegisterRequest, options: RegisterOptions): Promise<void> {
    return this.#registrations.register(name, request, options);
  }

  registerAt(
    name: string,
    rank: number,
    files: readonly string[],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<void> {
    return this.#shares.register(name, rank, files, signal);
  }

  unregisterAt(name: string, rank: number): Promise<boolean> {
    return this.#together.take(() => this.#shares.unregister(name, rank));
  }

  async unregister(name: string, { force }: { readonly force: boolean }): Promise<void> {
    const entry = this.#catalog.get(name);
    if (entry.isUpdating) throw checkpointBusy(name);
    entry.registration.abort(checkpointDeleted(name));
    await this.#together.take(async () => {
      const startedAtMs = performance.now();
      this.#catalog.delete(entry);
      await this.#registrations.release(name, force);
      this.#log({ checkpoint: name }, startedAtMs, 'Released a checkpoint');
    });
  }

  async gatherMetas(name: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const entry = this.#catalog.get(name);
    await this.#together.take(
      async () => {
        const startedAtMs = performance.now();
        await this.#metas.gather(entry, signal);
        this.#log({ checkpoint: name }, startedAtMs, 'Gathered the metas of a checkpoint');
        await this.#prepare(name, signal);
      },
      { signal },
    );
  }

  async exportMetas(name: string): Promise<Uint8Array> {
    const entry = this.#catalog.get(name);
    return await this.#together.take(() => this.#metas.export(entry));
  }

  async importMetas(name: string, metas: Uint8Array): Promise<void> {
    checkName(name, metas);
    await this.#together.take(() => this.#metas.import(name, metas));
  }

  async update(
    name: string,
    request: UpdateRequest,
    { signal, onEvent }: { readonly signal: AbortSignal; readonly onEvent: (event: UpdateEvent) => void },
  ): Promise<UpdateSummary> {
    const entry = this.#catalog.get(name);
    const { update } = this.#options;
    const { timeoutMs, weightVersion, method = update.method, verify = update.verify } = request;
    const { targets, ranks } = this.#receiversOf(request);
    return await this.#together.take(
      async () => {
        const left = timeLeft(timeoutMs);
        entry.isUpdating = true;
        try {
          await this.#readiness.untilReadyToUpdate(name, timeoutMs, signal);
          entry.checkWhole();
          await this.#metas.gatherAgain(entry, signal, Math.min(GATHER_MS, left()));
          const ranksRequest = { ...update, method, name, ranks, targets, timeoutMs: left(), weightVersion, verify };
          const updated = summaryOf(
            await updateRanks(this.#slots, ranksRequest, { signal, onEvent }, this.#options.logger),
          );
          entry.broughtVersion = updated.weightVersion;
          return updated;
        } finally {
          entry.isUpdating = false;
        }
      },
      { signal, waitMs: timeoutMs },
    );
  }

  async verify(
    name: string,
    request: VerifyRequest,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<VerifyReport> {
    const entry = this.#catalog.get(name);
    const { timeoutMs } = request;
    const { targets, ranks } = this.#receiversOf(request);
    return await this.#together.take(
      async () => {
        const left = timeLeft(timeoutMs);
        await this.#readiness.untilReady(signal);
        entry.checkWhole();
        await this.#metas.gatherAgain(entry, signal, Math.min(GATHER_MS, left()));
        await this.#call('checkVerifiable', { targets, ranks, timeoutMs: left() }, left(), { signal });
        const [report] = await this.#call('verify', { name, targets, ranks, timeoutMs: left() }, left(), { signal });
        return report!;
      },
      { signal, waitMs: timeoutMs },
    );
  }

  async askInstances({ signal, isWanted }: AskOptions): Promise<InstanceAnswer[]> {
    const { targets } = this.#options.engines;
    if (targets === undefined) return [];
    await this.#readiness.untilReady(signal, START_MS);
    if (!isWanted()) return [];
    const request = { targets, timeoutMs: ASK_MS };
    const answers = await this.#call('heldVersion', request, request.timeoutMs, { signal });
    return answers.filter((answer) => answer !== null);
  }

  /** Kills all ranks. */
  kill(): void {
    for (const slot of this.#slots) slot.kill();
  }

  /** Lets all ranks release what they hold. Resolves when their processes have ended. Idempotent. */
  async close(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.close()));
    // A rank that was killed has not left the store by itself.
    for (const { rank } of this.#slots) this.#options.store?.lose(rank, `Rank ${rank} has ended`);
  }

  /** @throws The first failure of any rank. */
  async #call<Name extends CallName>(
    name: Name,
    request: CallRequest<Name>,
    timeoutMs: number,
    options?: CallOptions,
  ): Promise<CallResult<Name>[]> {
    return await this.#ask(this.#slots, name, request, timeoutMs, options);
  }

  readonly #ask: AskRanks = (slots, name, request, timeoutMs, options = {}) =>
    callRanks(slots, { name, request, timeoutMs, ...options }, this.#options.logger);

  /** The ranks that a request names, and their engines. @throws `CE_CONFIG_INVALID` */
  #receiversOf(request: UpdateRequest): Pick<CallRequest<'update'>, 'targets' | 'ranks'> {
    const deviceOf = (rank: number): string => this.#slots[rank]!.device!.uuid;
    const targets = updateTargets(request, this.#options.engines, this.worldSize, deviceOf);
    return { targets, ranks: request.ranks.length > 0 ? request.ranks : undefined };
  }

  #prepare(checkpoint: string, signal: AbortSignal): Promise<void> {
    const { engines, update, logger } = this.#options;
    const request = { checkpoint, targets: engines.targets, update };
    return prepareWorkers(this.#slots, request, this.#ask, logger, signal);
  }

  #log(about: object, startedAtMs: number, message: string): void {
    this.#options.logger.info({ ...about, durationMs: Math.round(performance.now() - startedAtMs) }, message);
  }

  #onChange(slot: RankSlot, error: CheckpointEngineError | undefined): void {
    if (slot.state === 'lost') {
      this.#options.store?.lose(slot.rank, error?.message ?? `Rank ${slot.rank} ended`);
      for (const entry of this.#catalog.all) entry.noteRankLost();
    }
    this.#readiness.noteChange();
  }
}
