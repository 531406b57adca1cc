import {
  CheckpointEngineError,
  checkWeightVersion,
  type P2PEndpoint,
  type PullIntent,
} from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { ConnectOptions, ParameterServerOptions, UpdateOptions, UpdateResult, WorldMetas } from '../api.ts';
import { CheckpointMetas } from '../metas/checkpoint-metas.ts';
import { Checkpoints } from '../pool/checkpoints.ts';
import type { CheckpointSource, RegisteredCheckpoint, RegisterOptions } from '../registration.ts';
import { EarlyGroup } from '../update/early-group.ts';
import type { RankParts, UpdateContext } from '../update/update-context.ts';
import { Mutex } from '../util/mutex.ts';
import type { VerifyReport } from '../verify/verify-report.ts';
import { checkSpecVersions } from './check-spec-versions.ts';
import { createRankParts, releaseBuffers } from './rank-parts.ts';
import { runUpdate, runVerify } from './run-update.ts';

/**
 * The parameter server of one rank: it holds a share of checkpoints in host memory and loads them into the inference
 * engine on its host.
 *
 * Registration is local to a rank. {@link ParameterServer.gatherMetas} and {@link ParameterServer.update} are called on
 * all ranks; if one rank fails, they reject on all. After a failed update the registered checkpoints are intact and the
 * next update works.
 *
 * @example
 * ```ts
 * const server = await ParameterServer.create({ store, device, broadcast: shm() });
 * await server.registerCheckpoint('step-100', { files: '/checkpoints/step-100' });
 * await server.gatherMetas('step-100');
 * await server.update('step-100', { requestEngine: ({ handles }) => engine.update({ handles }) });
 * ```
 */
export class ParameterServer {
  readonly #parts: RankParts;
  readonly #checkpoints: Checkpoints;
  readonly #metas: CheckpointMetas;
  readonly #earlyGroup: EarlyGroup;
  readonly #updates = new Mutex();
  #isClosed = false;

  private constructor(options: ParameterServerOptions, endpoint: P2PEndpoint | undefined) {
    this.#parts = createRankParts(options, endpoint, () => this.#checkpoints.retirePools());
    const { store, device, logger } = this.#parts;
    this.#checkpoints = new Checkpoints({ device, store, logger, endpoint, sharesPools: options.sharePools });
    this.#metas = new CheckpointMetas(this.#parts, this.#checkpoints);
    this.#earlyGroup = new EarlyGroup(this.#parts);
  }

  /**
   * Opens the server's end of the P2P transport, if there is one. The caller must close the parts.
   *
   * @throws `CE_NOT_SUPPORTED` A part implements another version of the contracts.
   */
  static async create(options: ParameterServerOptions): Promise<ParameterServer> {
    checkSpecVersions(options);
    const endpoint = await options.p2p?.open({ device: options.device });
    return new ParameterServer(options, endpoint);
  }

  /** This rank, counted from 0. */
  get rank(): number {
    return this.#parts.store.rank;
  }

  /** Number of ranks. */
  get worldSize(): number {
    return this.#parts.store.worldSize;
  }

  /** Names of the checkpoints that this rank holds. */
  get checkpoints(): readonly string[] {
    return this.#checkpoints.names;
  }

  /**
   * Reads this rank's share of a checkpoint into host memory. For a checkpoint that streams, it only reads headers; do
   * not change the files until the last update then. Releases everything before it rejects.
   *
   * @throws `CE_CHECKPOINT_EXISTS`; `CE_FILE_*`, `CE_DTYPE_UNKNOWN`, `CE_TENSOR_*` naming file and tensor;
   * `CE_HOST_OUT_OF_MEMORY`.
   * @throws {RangeError} The version is invalid.
   */
  async registerCheckpoint(
    name: string,
    source: CheckpointSource,
    options: RegisterOptions = {},
  ): Promise<RegisteredCheckpoint> {
    this.#checkOpen();
    checkWeightVersion(options.weightVersion);
    const registered = await this.#checkpoints.add(name, source, options);
    this.#metas.registered(name, options.weightVersion);
    return registered;
  }

  /**
   * Resolves when a checkpoint that is read in the background is completely in this rank's host memory; at once for
   * others. From then on its files may be deleted, and {@link ParameterServer.gatherMetas} describes to peers where to
   * read it.
   *
   * @throws `CE_CHECKPOINT_UNKNOWN`; `CE_FILE_*` if reading has failed (another call resumes it); `CE_CLOSED` if the
   * checkpoint is unregistered meanwhile.
   */
  async checkpointLoaded(name: string, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { fill } = this.#checkpoints.get(name).held;
    if (fill !== undefined) await untilAborted(fill.loaded(), options.signal);
  }

  /**
   * Removes a checkpoint and frees its memory; stops reading it in the background.
   *
   * @param options.force Also free the shared pool that the checkpoint used, instead of keeping it for the next.
   * @throws `CE_CHECKPOINT_UNKNOWN`; `CE_CHECKPOINT_BUSY` while an update runs.
   */
  async unregisterCheckpoint(name: string, options: { readonly force?: boolean } = {}): Promise<void> {
    this.#checkpoints.get(name);
    await this.#updates.run(`unregistering checkpoint "${name}"`, async () => {
      this.#metas.forget(name);
      await this.#checkpoints.remove(name, options);
      if (this.#checkpoints.names.length === 0) await releaseBuffers(this.#parts);
    });
  }

  /**
   * Exchanges what each rank holds. Called on all ranks, after all have registered.
   *
   * @param options.untilDigested Wait until files that are used in place have been digested, for metas that leave this
   * world. An update does not need it: it waits itself. @default false
   * @throws `CE_CHECKPOINT_UNKNOWN` with a rank that has not registered it; `CE_PLAN_MISMATCH` with two ranks that saw
   * different files; `CE_TENSOR_DUPLICATE`.
   */
  async gatherMetas(
    name: string,
    options: { readonly untilDigested?: boolean; readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<WorldMetas> {
    this.#checkOpen();
    await this.#metas.gather(name, options);
    return this.getMetas(name);
  }

  /**
   * Creates the broadcast group of all ranks now, which saves the first update up to a second on GPUs, and may run
   * while checkpoints are registered. Called on all ranks, before any update; an update waits for it. A failure is only
   * logged, and the update tries again.
   */
  async connect(options: ConnectOptions = {}): Promise<void> {
    this.#checkOpen();
    await this.#earlyGroup.connect(options);
  }

  /**
   * The metas of all ranks for a checkpoint, as gathered or loaded last. They have the version that the last update with
   * the checkpoint brought; before the first one, the version that the checkpoint was given.
   *
   * @throws `CE_METAS_MISSING`
   */
  getMetas(name: string): WorldMetas {
    return this.#metas.get(name);
  }

  /**
   * Loads metas from another world: the next update reads what they describe from the pools of that world, over the P2P
   * transport. All ranks load the same metas.
   *
   * @param options.fallbacks Metas of further worlds that hold the same checkpoint under the same name: ranks read from
   * them if an owner in `metas` has ended or no longer has the bytes.
   * @throws `CE_TENSOR_DUPLICATE`, `CE_METAS_INVALID`, `CE_CHECKPOINT_EMPTY`
   */
  loadMetas(metas: WorldMetas, options: { readonly fallbacks?: readonly WorldMetas[] } = {}): void {
    this.#metas.load(metas, options.fallbacks ?? []);
  }

  /**
   * Loads a checkpoint into the inference engine, in place. Called on all ranks with equal options; resolves on all of
   * them when every worker that receives has run its post-load hook.
   *
   * @throws `CE_METAS_MISSING`, `CE_METAS_INVALID`, `CE_CHECKPOINT_BUSY`, `CE_PLAN_MEMORY_TOO_SMALL` before any data
   * moves, and `CE_PEER_*`, `CE_RANGE_NOT_REGISTERED` for what peers hold; then `CE_WORKER_*`, `CE_ENGINE_*`,
   * `CE_RANK_LOST`, `CE_TIMEOUT`, `CE_DEVICE_*`, `CE_FILE_*` for files that stream or are used in place, and again the
   * errors of peers: the first failure of any rank, on all ranks.
   * @throws {RangeError} The version is invalid.
   */
  async update(name: string, options: UpdateOptions): Promise<UpdateResult> {
    return await this.#run(name, options, 'update');
  }

  /**
   * Asks workers which parts of a checkpoint they keep and lets them map its memory, so that updates do not wait for
   * this. The engine's weights do not change. Called on all ranks with the options of the updates that follow; does
   * nothing if workers cannot pull (see `UpdateOptions.method`).
   *
   * @throws The errors of {@link ParameterServer.update}.
   */
  async prepare(name: string, options: UpdateOptions): Promise<UpdateResult | undefined> {
    const { pulls = false } = options.protocol ?? this.#parts.protocol;
    if (!pulls || options.method === 'buckets' || options.passes === 'any') return undefined;
    return await this.#run(name, options, 'prepare');
  }

  /**
   * Requests digests of their weights from the workers of engines, and compares them with a checkpoint. Loads nothing
   * into the engine. Called on all ranks with the options of an update; workers must support pulls (protocol 2 with a
   * receiver).
   *
   * @throws `CE_NOT_SUPPORTED` A worker cannot report digests; otherwise as {@link ParameterServer.update}. Bytes that
   * differ are not a failure: the report lists them.
   */
  async verify(name: string, options: UpdateOptions): Promise<VerifyReport> {
    return await this.#locked(name, options, `verifying checkpoint "${name}"`, (context) =>
      runVerify(context, options),
    );
  }

  async #run(name: string, options: UpdateOptions, intent: PullIntent): Promise<UpdateResult> {
    return await this.#locked(name, options, `the update of checkpoint "${name}"`, async (context) => {
      const reportsReads = intent === 'update' && context.held?.fill?.takeReport() === true;
      const updated = await runUpdate({ ...context, reportsReads }, options, intent);
      if (intent === 'update') this.#metas.updated(name, updated.weightVersion);
      // Metas of another world name no files of this world.
      const removes = intent === 'update' && !context.isForeign && options.keepFiles !== true;
      return removes ? { ...updated, removedFiles: await this.#checkpoints.removeFiles(name) } : updated;
    });
  }

  /** Runs one operation with the metas of a checkpoint while no other update runs. */
  async #locked<T>(
    name: string,
    { signal, weightVersion }: UpdateOptions,
    what: string,
    work: (context: UpdateContext) => Promise<T>,
  ): Promise<T> {
    this.#checkOpen();
    checkWeightVersion(weightVersion);
    const { digest, ...known } = this.#metas.forUpdate(name);
    const held = known.isForeign ? undefined : this.#checkpoints.get(name).held;
    await this.#earlyGroup.settled(signal);
    return await this.#updates.run(what, async () =>
      work({ ...this.#parts, ...known, checkpoint: name, metasDigest: digest, held, reportsReads: false }),
    );
  }

  /**
   * Removes the files on `/dev/shm` that a checkpoint uses in place, as a successful update does: for callers whose
   * updates kept them (`keepFiles`). Files that were registered with `keepFiles` stay.
   *
   * @returns The files that this rank removed, without those that another rank of this host removed before.
   * @throws `CE_CHECKPOINT_UNKNOWN`
   */
  async removeFiles(name: string): Promise<readonly string[]> {
    return await this.#checkpoints.removeFiles(name);
  }

  /** Frees all checkpoints and leaves the broadcast group. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#earlyGroup.stop(this.#closed());
    await this.#parts.links.drop();
    await releaseBuffers(this.#parts);
    await this.#checkpoints.close();
    await this.#parts.p2p?.endpoint.close();
  }

  #checkOpen(): void {
    if (this.#isClosed) throw this.#closed();
  }

  #closed(): CheckpointEngineError {
    const { rank } = this;
    return new CheckpointEngineError('CE_CLOSED', 'This parameter server is closed', 'Create a new one', { rank });
  }
}
