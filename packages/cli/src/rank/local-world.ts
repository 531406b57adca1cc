import { env } from 'node:process';
import {
  atRank,
  type BroadcastTransport,
  type CheckpointEngineError,
  type Device,
  type Logger,
  type Store,
} from '@checkpoint-engine/interface';
import { connectStore, openStore, ParameterServer } from '@checkpoint-engine/ps';
import type { RankIdentity, Secrets } from '../config/environment.ts';
import type { WorldSettings } from '../config/requests.ts';
import type { CallName, CallRequest, CallResult, RankDevice } from '../process/messages.ts';
import type { CallOptions, World } from '../process/world.ts';
import { EngineClients } from './engine-clients.ts';
import { leaveTogether } from './leave-together.ts';
import { loadBroadcast } from './load-broadcast.ts';
import { type LoadedP2P, loadP2P } from './load-p2p.ts';
import { MetasPieces } from './metas-pieces.ts';
import { countGpus, localRankOf, openDevice } from './open-device.ts';
import { RANK_CALLS } from './rank-calls.ts';
import { resolveMaster } from './resolve-master.ts';

/** The options of {@link LocalWorld.open}. */
export interface LocalWorldOptions {
  readonly identity: RankIdentity;
  readonly settings: WorldSettings;
  readonly secrets: Secrets;
  readonly logger: Logger;
  /** Called when the world of a server continues without this rank, such as after a long pause. */
  readonly onLost?: ((error: CheckpointEngineError) => void) | undefined;
  /** Ends the joining, and aborts all calls, on all ranks. */
  readonly signal: AbortSignal;
}

/** One rank in this process: its device, its place in the world and its parameter server. */
export class LocalWorld implements World {
  readonly #options: LocalWorldOptions;
  readonly #closers: (() => Promise<void>)[] = [];
  #device!: Device;
  #store!: Store;
  #server!: ParameterServer;
  readonly #engines: EngineClients;
  readonly #metasPieces = new MetasPieces();

  private constructor(options: LocalWorldOptions) {
    this.#options = options;
    this.#engines = new EngineClients(options.secrets, options.logger);
  }

  /** Joins the world. Releases everything before it rejects. */
  static async open(options: LocalWorldOptions): Promise<LocalWorld> {
    const world = new LocalWorld(options);
    try {
      await world.#open();
      return world;
    } catch (error) {
      const failure = await world.#fail(error);
      await world.close();
      throw failure;
    }
  }

  get ranks(): readonly number[] {
    return [this.#options.identity.rank];
  }

  get devices(): readonly RankDevice[] {
    const { kind, uuid, name } = this.#device;
    return [{ kind, uuid, name }];
  }

  async call<Name extends CallName>(
    name: Name,
    request: CallRequest<Name>,
    { signal = this.#options.signal, onEvent = () => {} }: CallOptions = {},
  ): Promise<[CallResult<Name>]> {
    const { secrets, logger } = this.#options;
    const { rank } = this.#options.identity;
    const world = { server: this.#server, device: this.#device, rank, engines: this.#engines };
    const context = { ...world, metasPieces: this.#metasPieces, secrets, logger, signal, onEvent };
    try {
      return [await RANK_CALLS[name](context, request)];
    } catch (error) {
      throw await this.#fail(error);
    }
  }

  async close(): Promise<void> {
    for (let close = this.#closers.pop(); close; close = this.#closers.pop()) await close();
  }

  async #open(): Promise<void> {
    const { identity, settings, logger, signal } = this.#options;
    const { deviceKind, memFraction, maxBucketBytes, timeoutMs, lifetime, sharePools } = settings;
    // Detect missing parts of this machine before other ranks wait for it.
    const broadcast: BroadcastTransport | undefined = await loadBroadcast(deviceKind, identity.worldSize);
    if (broadcast) this.#closers.push(() => broadcast.close());
    const p2p = await this.#loadP2P();
    if (p2p) this.#closers.push(() => p2p.transport.close());
    this.#device = await openDevice(deviceKind, await localRankOf(identity, deviceKind));
    this.#closers.push(() => this.#device.close());
    this.#store = await this.#openStore();
    this.#closers.push(() => this.#store.close());
    if (lifetime === 'update') this.#closers.push(() => leaveTogether(this.#store));
    this.#server = await ParameterServer.create({
      store: this.#store,
      device: this.#device,
      broadcast,
      p2p: p2p?.transport,
      nics: p2p?.nics,
      logger,
      memFraction,
      maxBucketBytes,
      sharePools,
    });
    this.#closers.push(() => this.#server.close());
    // The supervisor of a server knows which ranks are present.
    if (lifetime === 'update') await this.#store.barrier('opened', { timeoutMs, signal });
  }

  async #loadP2P(): Promise<LoadedP2P | undefined> {
    const { identity, settings, secrets } = this.#options;
    const { p2p, deviceKind } = settings;
    if (p2p === undefined) return undefined;
    const localRank = await localRankOf(identity, deviceKind);
    const gpuCount = Math.max(deviceKind === 'cuda' ? await countGpus() : identity.worldSize, localRank + 1);
    return await loadP2P({
      settings: p2p,
      deviceKind,
      localRank,
      gpuCount,
      env,
      token: p2p.needsToken ? secrets.token : undefined,
    });
  }

  async #openStore(): Promise<Store> {
    const { identity, settings, secrets, logger, signal, onLost } = this.#options;
    const { rank, worldSize, masterAddr, masterPort } = identity;
    const options = { rank, worldSize, token: secrets.token, timeoutMs: settings.timeoutMs, signal, logger };
    if (worldSize > 1 && settings.lifetime === 'update') {
      await resolveMaster({ identity, timeoutMs: settings.timeoutMs, signal, logger });
    }
    return settings.lifetime === 'server' && worldSize > 1
      ? await connectStore({ ...options, host: masterAddr, port: masterPort, onLost })
      : await openStore({ ...options, masterAddr, masterPort });
  }

  /** Notifies the other ranks, which may wait for this one, and returns the error to throw. */
  async #fail(error: unknown): Promise<CheckpointEngineError> {
    const failure = atRank(error, this.#options.identity.rank);
    if (this.#options.settings.lifetime === 'update') await this.#store?.abort(failure).catch(() => {});
    return failure;
  }
}
