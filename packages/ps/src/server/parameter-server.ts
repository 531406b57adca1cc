import { hostname } from 'node:os';
import {
  CheckpointEngineError,
  type Device,
  type Logger,
  type P2PEndpoint,
  type PullIntent,
  type Store,
  silentLogger,
} from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import { encodeRankMetas } from '@checkpoint-engine/meta';
import type {
  CheckpointSource,
  ParameterServerOptions,
  RegisteredCheckpoint,
  RegisterOptions,
  UpdateOptions,
  UpdateResult,
  WorldMetas,
} from '../api.ts';
import { exchangeFiles } from '../metas/exchange-files.ts';
import { gatherMetas } from '../metas/gather-metas.ts';
import { KnownMetas } from '../metas/known-metas.ts';
import { isAt, metasAt, type RankPlace } from '../metas/rank-place.ts';
import { type SeenFiles, seenFiles } from '../metas/seen-files.ts';
import { warnOfSplitGroups } from '../metas/warn-of-split-groups.ts';
import { Checkpoints } from '../pool/checkpoints.ts';
import { BroadcastLinks } from '../update/broadcast-links.ts';
import { connectGroup } from '../update/connect-group.ts';
import { PlanCache } from '../update/plan-cache.ts';
import { PullKeeper } from '../update/pull-keeper.ts';
import { RingKeeper } from '../update/ring-keeper.ts';
import type { P2PAccess } from '../update/update-context.ts';
import { WorkerPace } from '../update/worker-pace.ts';
import { Mutex } from '../util/mutex.ts';
import { v1Protocol } from '../v1/index.ts';
import { checkSpecVersions } from './check-spec-versions.ts';
import { runUpdate } from './run-update.ts';

const CONNECT_TIMEOUT_MS = 120_000;

/**
 * One rank's parameter server: it holds its share of checkpoints in host memory and brings them into the inference
 * engine beside it.
 *
 * Registering is local to a rank. {@link ParameterServer.gatherMetas} and {@link ParameterServer.update} are called on
 * all ranks; a rank that fails makes them reject on all. After a failed update the registered checkpoints are intact
 * and the next update works.
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
  readonly #options: ParameterServerOptions;
  readonly #store: Store;
  readonly #device: Device;
  readonly #logger: Logger;
  readonly #endpoint: P2PEndpoint | undefined;
  readonly #checkpoints: Checkpoints;
  readonly #metas: KnownMetas;
  readonly #links: BroadcastLinks;
  readonly #rings: RingKeeper;
  readonly #plans = new PlanCache();
  readonly #pulls = new PullKeeper();
  readonly #pace = new WorkerPace();
  readonly #updates = new Mutex();
  // Starts at the clock, so that a worker that still waits for an update of a killed server never meets ours.
  #counter = Math.floor(Date.now() / 1000);
  /** The broadcast group that is being made ahead of the first update. Never rejects. */
  #connecting: Promise<void> | undefined;
  readonly #closing = new AbortController();
  /** Known once this rank has told others of it. */
  #p2pAddress: string | undefined;
  #isClosed = false;

  private constructor(options: ParameterServerOptions, endpoint: P2PEndpoint | undefined) {
    const { store, device, broadcast, logger = silentLogger } = options;
    this.#options = options;
    this.#store = store;
    this.#device = device;
    this.#logger = logger;
    this.#endpoint = endpoint;
    this.#checkpoints = new Checkpoints({ device, store, logger, endpoint, sharesPools: options.sharePools });
    this.#metas = new KnownMetas(store.rank);
    this.#links = new BroadcastLinks({ transport: broadcast, device, store });
    this.#rings = new RingKeeper(device);
  }

  /**
   * Opens the server's end of the P2P transport, where it has one. The parts stay the caller's to close.
   *
   * @throws `CE_NOT_SUPPORTED` A part was written for another version of the contracts.
   */
  static async create(options: ParameterServerOptions): Promise<ParameterServer> {
    checkSpecVersions(options);
    const endpoint = await options.p2p?.open({ device: options.device });
    return new ParameterServer(options, endpoint);
  }

  /** This rank, counted from 0. */
  get rank(): number {
    return this.#store.rank;
  }

  /** How many ranks there are. */
  get worldSize(): number {
    return this.#store.worldSize;
  }

  /** Names of the checkpoints that this rank holds. */
  get checkpoints(): readonly string[] {
    return this.#checkpoints.names;
  }

  /**
   * Brings this rank's share of a checkpoint into host memory, or, where it streams, only finds it: then its files have
   * to stay as they are until the last update. Nothing stays behind when it rejects.
   *
   * @throws `CE_CHECKPOINT_EXISTS`; `CE_FILE_*`, `CE_DTYPE_UNKNOWN`, `CE_TENSOR_*` naming file and tensor;
   * `CE_HOST_OUT_OF_MEMORY`.
   */
  async registerCheckpoint(
    name: string,
    source: CheckpointSource,
    options: RegisterOptions = {},
  ): Promise<RegisteredCheckpoint> {
    this.#checkOpen();
    const registered = await this.#checkpoints.add(name, source, options);
    this.#metas.forget(name);
    return registered;
  }

  /**
   * Resolves when all of a checkpoint that is read in the background is in this rank's host memory; at once for others.
   * From then on its files may go, and {@link ParameterServer.gatherMetas} tells peers where to read it.
   *
   * @throws `CE_CHECKPOINT_UNKNOWN`; `CE_FILE_*` when reading has failed (calling again goes on with it); `CE_CLOSED`
   * when it is unregistered meanwhile.
   */
  async checkpointLoaded(name: string, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { fill } = this.#checkpoints.get(name).held;
    if (fill !== undefined) await untilAborted(fill.loaded(), options.signal);
  }

  /**
   * Forgets a checkpoint and gives its memory back; ends reading it in the background.
   *
   * @param options.force Also gives back the shared pool that the checkpoint used, instead of keeping it for the next.
   * @throws `CE_CHECKPOINT_UNKNOWN`; `CE_CHECKPOINT_BUSY` while an update runs.
   */
  async unregisterCheckpoint(name: string, options: { readonly force?: boolean } = {}): Promise<void> {
    this.#checkpoints.get(name);
    await this.#updates.run(`unregistering checkpoint "${name}"`, async () => {
      this.#metas.forget(name);
      await this.#checkpoints.remove(name, options);
      if (this.#checkpoints.names.length === 0) {
        this.#rings.close();
        await this.#pulls.release();
      }
    });
  }

  /**
   * Tells all ranks what each of them holds. Called on all ranks, after all have registered.
   *
   * @throws `CE_CHECKPOINT_UNKNOWN` naming a rank that has not registered it; `CE_PLAN_MISMATCH` naming two ranks that saw
   * different files; `CE_TENSOR_DUPLICATE`.
   */
  async gatherMetas(
    name: string,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<WorldMetas> {
    this.#checkOpen();
    const own = async (): Promise<Uint8Array> => {
      const entry = this.#checkpoints.get(name);
      await this.#checkpoints.offer(entry);
      this.#p2pAddress ??= await this.#endpoint?.address();
      return encodeRankMetas(metasAt(this.#place, name, entry));
    };
    const files = (): SeenFiles | undefined => {
      const { sharedFiles } = this.#checkpoints.get(name).held;
      return sharedFiles && { host: this.#place.host, files: seenFiles(sharedFiles) };
    };
    await exchangeFiles(this.#store, name, files, options);
    const gathered = await gatherMetas(this.#store, name, own, options);
    this.#metas.setGathered(name, gathered);
    if (this.rank === 0) warnOfSplitGroups(name, gathered.metas, this.#logger);
    return gathered.metas;
  }

  /**
   * Makes the broadcast group of all ranks now, so that the first update need not: it takes up to a second on GPUs, and
   * may run while checkpoints are registered. Called on all ranks, before any update; an update waits for it. What fails
   * here is only logged, and tried again by the update.
   *
   * @param options.isWanted Whether updates will need the group, where a rank knows. One that says no decides for all.
   */
  async connect(
    options: {
      readonly isWanted?: () => Promise<boolean>;
      readonly timeoutMs?: number;
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<void> {
    this.#checkOpen();
    const { timeoutMs = CONNECT_TIMEOUT_MS, signal, isWanted = async () => true } = options;
    const stop = AbortSignal.any([this.#closing.signal, this.#store.signal, ...(signal ? [signal] : [])]);
    const parts = { store: this.#store, links: this.#links, device: this.#device, isWanted };
    this.#connecting ??= connectGroup(parts, { timeoutMs, signal: stop }).catch((cause) => {
      this.#logger.warn({ rank: this.rank, cause }, 'The broadcast group could not be made ahead; the update makes it');
    });
    await this.#connecting;
  }

  /** What all ranks hold of a checkpoint, as gathered or loaded last. @throws `CE_METAS_MISSING` */
  getMetas(name: string): WorldMetas {
    return this.#metas.get(name).metas;
  }

  /**
   * Takes metas that were gathered elsewhere: the next update reads what they speak of out of the pools of that world,
   * over the P2P transport. All ranks load the same ones.
   *
   * @param options.fallbacks Metas of further worlds that hold the same checkpoint under the same name: where an owner
   * of `metas` is gone, or has no longer got the bytes, they are read from.
   * @throws `CE_TENSOR_DUPLICATE`, `CE_METAS_INVALID`, `CE_CHECKPOINT_EMPTY`
   */
  loadMetas(metas: WorldMetas, options: { readonly fallbacks?: readonly WorldMetas[] } = {}): void {
    this.#metas.load(metas, options.fallbacks ?? []);
  }

  /**
   * Brings a checkpoint into the inference engine, in place. Called on all ranks with equal options; resolves on all
   * when every worker that receives has run its post-load hook.
   *
   * @throws `CE_METAS_MISSING`, `CE_METAS_INVALID`, `CE_CHECKPOINT_BUSY`, `CE_PLAN_MEMORY_TOO_SMALL` before anything
   * moves, and for what peers hold `CE_PEER_*`, `CE_RANGE_NOT_REGISTERED`; then `CE_WORKER_*`, `CE_ENGINE_*`,
   * `CE_RANK_LOST`, `CE_TIMEOUT`, `CE_DEVICE_*`, for files that stream or are used in place `CE_FILE_*`, and again those of
   * peers: the first failure of any rank, on all.
   */
  async update(name: string, options: UpdateOptions): Promise<UpdateResult> {
    return await this.#run(name, options, 'update');
  }

  /**
   * Has workers say what they keep of a checkpoint and map the memory that it is in, so that no update has to wait for
   * that. Nothing is brought to the engine. Called on all ranks with the options of the updates that follow; does
   * nothing where workers are not asked (see `UpdateOptions.strategy`).
   *
   * @throws As {@link ParameterServer.update}.
   */
  async prepare(name: string, options: UpdateOptions): Promise<UpdateResult | undefined> {
    const { pulls = false } = options.protocol ?? this.#options.protocol ?? v1Protocol();
    if (!pulls || options.strategy === 'buckets' || options.passes === 'any') return undefined;
    return await this.#run(name, options, 'prepare');
  }

  async #run(name: string, options: UpdateOptions, intent: PullIntent): Promise<UpdateResult> {
    this.#checkOpen();
    const { metas, digest, fallbacks } = this.#metas.get(name);
    const isForeign = !this.#isOwnWorld(metas);
    const held = isForeign ? undefined : this.#checkpoints.get(name).held;
    await untilAborted(this.#connecting ?? Promise.resolve(), options.signal);
    return await this.#updates.run(`the update of checkpoint "${name}"`, async () => {
      const updated = await runUpdate(
        {
          checkpoint: name,
          metas,
          metasDigest: digest,
          isForeign,
          fallbacks,
          held,
          wasFilling: held?.fill?.isLoaded === false,
          device: this.#device,
          store: this.#store,
          links: this.#links,
          rings: this.#rings,
          pulls: this.#pulls,
          retirePools: () => this.#checkpoints.retirePools(),
          p2p: this.#p2p,
          protocol: this.#options.protocol ?? v1Protocol(),
          plans: this.#plans,
          pace: this.#pace,
          host: this.#place.host,
          nics: this.#place.nics,
          memFraction: this.#options.memFraction,
          maxBucketBytes: this.#options.maxBucketBytes,
          logger: this.#logger,
          counter: this.#counter,
          onCounter: (counter) => {
            this.#counter = counter;
          },
        },
        options,
        intent,
      );
      // Foreign metas name no files of this world.
      const removes = intent === 'update' && !isForeign && options.keepFiles !== true;
      return removes ? { ...updated, removedFiles: await this.#checkpoints.removeFiles(name) } : updated;
    });
  }

  /**
   * Removes the files on `/dev/shm` that a checkpoint uses in place, as an update does that has succeeded: for callers
   * whose updates kept them (`keepFiles`). Files that were registered with `keepFiles` stay.
   *
   * @returns The files that this rank removed: none that another rank of this host removed before.
   * @throws `CE_CHECKPOINT_UNKNOWN`
   */
  async removeFiles(name: string): Promise<readonly string[]> {
    return await this.#checkpoints.removeFiles(name);
  }

  /** Gives back all checkpoints and leaves the broadcast group. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#closing.abort(new CheckpointEngineError('CE_CLOSED', 'This parameter server is closed', 'Create a new one'));
    await this.#connecting;
    await this.#links.drop();
    this.#rings.close();
    await this.#pulls.release();
    await this.#checkpoints.close();
    await this.#endpoint?.close();
  }

  get #place(): RankPlace {
    const { host = hostname(), nics = [] } = this.#options;
    return { rank: this.rank, host, deviceUuid: this.#device.uuid, p2pAddress: this.#p2pAddress, nics };
  }

  get #p2p(): P2PAccess | undefined {
    const transport = this.#options.p2p;
    if (transport === undefined || this.#endpoint === undefined) return undefined;
    return { name: transport.name, supports: transport.supports, endpoint: this.#endpoint };
  }

  /** Whether metas speak of this rank's own world, and not of another one that has a rank of the same number. */
  #isOwnWorld(metas: WorldMetas): boolean {
    const own = metas.find(({ rank }) => rank === this.rank);
    return own !== undefined && this.#checkpoints.has(own.checkpoint) && isAt(own, this.#place);
  }

  #checkOpen(): void {
    if (!this.#isClosed) return;
    throw new CheckpointEngineError('CE_CLOSED', 'This parameter server is closed', 'Create a new one', {
      rank: this.rank,
    });
  }
}
