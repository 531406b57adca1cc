import { hostname } from 'node:os';
import {
  CheckpointEngineError,
  type Device,
  type HostMemory,
  type Logger,
  type MemoryRange,
  type P2PEndpoint,
  type Registration,
  type Store,
  silentLogger,
} from '@checkpoint-engine/interface';
import { encodeRankMetas, type RankMetas } from '@checkpoint-engine/meta';
import { checkUniqueTensors } from '@checkpoint-engine/planner';
import { gatherMetas } from '../metas/gather-metas.ts';
import { checkMetas, checkpointOf, type GatheredMetas } from '../metas/gathered-metas.ts';
import { removeFiles } from '../pool/file-share.ts';
import type { HeldCheckpoint } from '../pool/held-checkpoint.ts';
import { holdFiles } from '../pool/hold-files.ts';
import { holdStream } from '../pool/hold-stream.ts';
import { holdTensors } from '../pool/hold-tensors.ts';
import type { PoolContext } from '../pool/pool-context.ts';
import { SharedPool } from '../pool/shared-pool.ts';
import { BroadcastLinks } from '../update/broadcast-links.ts';
import { checkSameCheckpoint } from '../update/holder-index.ts';
import { PlanCache } from '../update/plan-cache.ts';
import { RingKeeper } from '../update/ring-keeper.ts';
import { runUpdate } from '../update/run-update.ts';
import type { P2PAccess } from '../update/update-context.ts';
import { atRank } from '../util/at-rank.ts';
import { Mutex } from '../util/mutex.ts';
import { untilAborted } from '../util/until-aborted.ts';
import { v1Protocol } from '../v1/index.ts';
import type {
  CheckpointSource,
  ParameterServerOptions,
  RegisteredCheckpoint,
  RegisterOptions,
  UpdateOptions,
  UpdateResult,
  WorldMetas,
} from './api.ts';
import { checkSpecVersions } from './check-spec-versions.ts';

/** A checkpoint that this rank holds, and how peers read it. */
interface Entry {
  readonly held: HeldCheckpoint;
  /** By region; none for a file on disk. Empty while the checkpoint is read in the background. */
  registrations: readonly (Registration | undefined)[];
}

/** Metas that an update goes by, and what else its bytes can be read from. */
interface Gathered extends GatheredMetas {
  readonly fallbacks: readonly WorldMetas[];
}

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
  readonly #sharedPool: SharedPool;
  readonly #links: BroadcastLinks;
  readonly #rings: RingKeeper;
  readonly #plans = new PlanCache();
  readonly #updates = new Mutex();
  readonly #entries = new Map<string, Entry>();
  readonly #pending = new Set<string>();
  readonly #gathered = new Map<string, Gathered>();
  // Starts at the clock, so that a worker that still waits for an update of a killed server never meets ours.
  #counter = Math.floor(Date.now() / 1000);
  #isClosed = false;

  private constructor(options: ParameterServerOptions, endpoint: P2PEndpoint | undefined) {
    this.#options = options;
    this.#store = options.store;
    this.#device = options.device;
    this.#logger = options.logger ?? silentLogger;
    this.#endpoint = endpoint;
    this.#sharedPool = new SharedPool(options.device, { shared: endpoint !== undefined });
    this.#links = new BroadcastLinks({
      transport: options.broadcast,
      device: options.device,
      store: options.store,
    });
    this.#rings = new RingKeeper(options.device);
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
    return [...this.#entries.keys()];
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
    if (this.#entries.has(name) || this.#pending.has(name)) {
      throw new CheckpointEngineError(
        'CE_CHECKPOINT_EXISTS',
        `Checkpoint "${name}" is registered already`,
        'Unregister it first, or use another name',
        { rank: this.rank },
      );
    }
    const startedAtMs = performance.now();
    const context = this.#poolContext(name, options);
    this.#pending.add(name);
    try {
      const held = await hold(name, source, context);
      const entry: Entry = { held, registrations: [] };
      await this.#offer(entry).catch(async (error) => {
        await held.close();
        throw error;
      });
      this.#entries.set(name, entry);
      this.#gathered.delete(name);
      return {
        name,
        tensorCount: held.tensors.length,
        sizeBytes: held.sizeBytes,
        poolBytes: held.poolBytes,
        warnings: held.warnings,
        durationMs: performance.now() - startedAtMs,
      };
    } catch (error) {
      throw atRank(error, this.rank);
    } finally {
      this.#pending.delete(name);
    }
  }

  /**
   * Resolves when all of a checkpoint that is read in the background is in this rank's host memory; at once for others.
   * From then on its files may go, and {@link ParameterServer.gatherMetas} tells peers where to read it.
   *
   * @throws `CE_CHECKPOINT_UNKNOWN`; `CE_FILE_*` when reading has failed (calling again goes on with it); `CE_CLOSED`
   * when it is unregistered meanwhile.
   */
  async checkpointLoaded(name: string, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { fill } = this.#entry(name).held;
    if (fill !== undefined) await untilAborted(fill.loaded(), options.signal);
  }

  /**
   * Forgets a checkpoint and gives its memory back; ends reading it in the background.
   *
   * @param options.force Also gives back the shared pool that the checkpoint used, instead of keeping it for the next.
   * @throws `CE_CHECKPOINT_UNKNOWN`; `CE_CHECKPOINT_BUSY` while an update runs.
   */
  async unregisterCheckpoint(name: string, options: { readonly force?: boolean } = {}): Promise<void> {
    const entry = this.#entry(name);
    await this.#updates.run(`unregistering checkpoint "${name}"`, async () => {
      this.#entries.delete(name);
      this.#gathered.delete(name);
      const usedSharedPool = this.#sharedPool.user === name;
      for (const registration of entry.registrations) await registration?.close();
      await entry.held.close();
      if (this.#entries.size === 0) this.#rings.close();
      if (usedSharedPool && options.force === true) this.#sharedPool.close();
    });
  }

  /**
   * Tells all ranks what each of them holds. Called on all ranks, after all have registered.
   *
   * @throws `CE_CHECKPOINT_UNKNOWN` naming a rank that has not registered it; `CE_TENSOR_DUPLICATE`.
   */
  async gatherMetas(
    name: string,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<WorldMetas> {
    this.#checkOpen();
    const own = async (): Promise<Uint8Array> => encodeRankMetas(await this.#ownMetas(name));
    const gathered = await gatherMetas(this.#store, name, own, options);
    this.#gathered.set(name, { ...gathered, fallbacks: [] });
    await removeFiles(this.#entry(name).held.removableFiles);
    return gathered.metas;
  }

  /** What all ranks hold of a checkpoint, as gathered or loaded last. @throws `CE_METAS_MISSING` */
  getMetas(name: string): WorldMetas {
    return this.#gatheredMetas(name).metas;
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
    const checked = checkMetas(metas);
    const { fallbacks = [] } = options;
    for (const fallback of fallbacks) {
      checkUniqueTensors(fallback);
      checkSameCheckpoint(metas, fallback);
    }
    this.#gathered.set(checkpointOf(metas), { ...checked, fallbacks });
  }

  /**
   * Brings a checkpoint into the inference engine, in place. Called on all ranks with equal options; resolves on all
   * when every worker that receives has run its post-load hook.
   *
   * @throws `CE_METAS_MISSING`, `CE_METAS_INVALID`, `CE_CHECKPOINT_BUSY`, `CE_PLAN_MEMORY_TOO_SMALL` before anything
   * moves, and for what peers hold `CE_PEER_*`, `CE_RANGE_NOT_REGISTERED`; then `CE_WORKER_*`, `CE_ENGINE_*`,
   * `CE_RANK_LOST`, `CE_TIMEOUT`, `CE_DEVICE_*`, for a checkpoint that streams `CE_FILE_*`, and again those of peers: the
   * first failure of any rank, on all.
   */
  async update(name: string, options: UpdateOptions): Promise<UpdateResult> {
    this.#checkOpen();
    const { metas, digest, fallbacks } = this.#gatheredMetas(name);
    const isForeign = !this.#isOwnWorld(metas);
    const held = isForeign ? undefined : this.#entry(name).held;
    return await this.#updates.run(`the update of checkpoint "${name}"`, () =>
      runUpdate(
        {
          checkpoint: name,
          metas,
          metasDigest: digest,
          isForeign,
          fallbacks,
          held,
          device: this.#device,
          store: this.#store,
          links: this.#links,
          rings: this.#rings,
          p2p: this.#p2p,
          protocol: this.#options.protocol ?? v1Protocol(),
          plans: this.#plans,
          host: this.#host,
          nics: this.#options.nics ?? [],
          memFraction: this.#options.memFraction,
          maxBucketBytes: this.#options.maxBucketBytes,
          logger: this.#logger,
          counter: this.#counter,
          onCounter: (counter) => {
            this.#counter = counter;
          },
        },
        options,
      ),
    );
  }

  /** Gives back all checkpoints and leaves the broadcast group. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#links.drop();
    this.#rings.close();
    for (const { held, registrations } of this.#entries.values()) {
      for (const registration of registrations) await registration?.close();
      await held.close();
    }
    this.#entries.clear();
    this.#sharedPool.close();
    await this.#endpoint?.close();
  }

  get #host(): string {
    return this.#options.host ?? hostname();
  }

  get #p2p(): P2PAccess | undefined {
    const transport = this.#options.p2p;
    if (transport === undefined || this.#endpoint === undefined) return undefined;
    return { name: transport.name, supports: transport.supports, endpoint: this.#endpoint };
  }

  /** Whether metas speak of this rank's own world, and not of another one that has a rank of the same number. */
  #isOwnWorld(metas: WorldMetas): boolean {
    const own = metas.find(({ rank }) => rank === this.rank);
    return (
      own !== undefined &&
      this.#entries.has(own.checkpoint) &&
      own.host === this.#host &&
      own.deviceUuid === this.#device.uuid &&
      own.p2pAddress === this.#endpoint?.address
    );
  }

  #poolContext(name: string, { pool, signal, onEvent }: RegisterOptions): PoolContext {
    const isShared = pool === 'shared';
    return {
      device: this.#device,
      store: this.#store,
      signal,
      logger: this.#logger,
      // Allocations are never empty, so that a checkpoint of empty tensors needs no special way.
      acquirePool: (sizeBytes): Promise<HostMemory> => {
        const wanted = Math.max(sizeBytes, 1);
        return isShared
          ? this.#sharedPool.acquire(name, wanted)
          : this.#device.allocateHost(wanted, { shared: this.#endpoint !== undefined });
      },
      releasePool: (memory) => (isShared ? this.#sharedPool.release() : memory.close()),
      onProgress: (doneBytes, totalBytes) =>
        onEvent?.({
          type: 'register',
          rank: this.rank,
          doneBytes,
          totalBytes,
          atMs: performance.timeOrigin + performance.now(),
        }),
    };
  }

  /** Lets peers read a checkpoint's memory, once its bytes are there. */
  async #offer(entry: Entry): Promise<void> {
    const { regions, fill } = entry.held;
    if (this.#endpoint === undefined || entry.registrations.length > 0 || fill?.isLoaded === false) return;
    const registrations: (Registration | undefined)[] = [];
    try {
      for (const { memory, sizeBytes } of regions) {
        registrations.push(memory && (await this.#register({ memory, offsetBytes: 0, sizeBytes })));
      }
      entry.registrations = registrations;
    } catch (error) {
      for (const registration of registrations) await registration?.close();
      throw error;
    }
  }

  /** Nothing where the transport cannot share memory of this kind: a file in place, for one. Then this rank only sends. */
  async #register(range: MemoryRange): Promise<Registration | undefined> {
    try {
      return await this.#endpoint!.register(range);
    } catch (error) {
      if (!CheckpointEngineError.isInstance(error) || error.code !== 'CE_NOT_SUPPORTED') throw error;
      this.#logger.warn({ rank: this.rank, err: error }, 'Peers cannot read part of a checkpoint here');
      return undefined;
    }
  }

  async #ownMetas(name: string): Promise<RankMetas> {
    const entry = this.#entry(name);
    await this.#offer(entry);
    const { held, registrations } = entry;
    return {
      checkpoint: name,
      rank: this.rank,
      host: this.#host,
      deviceUuid: this.#device.uuid,
      p2pAddress: this.#endpoint?.address,
      nics: this.#options.nics ?? [],
      regions: held.regions.map(({ sizeBytes }, index) => ({ sizeBytes, remote: registrations[index]?.remote })),
      tensors: held.tensors,
    };
  }

  #entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    throw new CheckpointEngineError(
      'CE_CHECKPOINT_UNKNOWN',
      `Checkpoint "${name}" is not registered at rank ${this.rank}; it holds ${JSON.stringify(this.checkpoints)}`,
      'Register it on every rank first',
      { rank: this.rank },
    );
  }

  #gatheredMetas(name: string): Gathered {
    const gathered = this.#gathered.get(name);
    if (gathered !== undefined) return gathered;
    throw new CheckpointEngineError(
      'CE_METAS_MISSING',
      `The metas of checkpoint "${name}" have not been gathered at rank ${this.rank}`,
      'Call gatherMetas on all ranks after registration, and again when anything was registered anew',
      { rank: this.rank },
    );
  }

  #checkOpen(): void {
    if (!this.#isClosed) return;
    throw new CheckpointEngineError('CE_CLOSED', 'This parameter server is closed', 'Create a new one', {
      rank: this.rank,
    });
  }
}

async function hold(name: string, source: CheckpointSource, context: PoolContext): Promise<HeldCheckpoint> {
  if ('tensors' in source) return holdTensors(name, source.tensors, context);
  if (source.stream === true && source.load === 'background') {
    throw new TypeError('A checkpoint either streams (`stream`) or is read in the background (`load`), not both');
  }
  return source.stream === true ? holdStream(name, source, context) : holdFiles(name, source, context);
}
