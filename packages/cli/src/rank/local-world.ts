import type { BroadcastTransport, CheckpointEngineError, Device, Logger, Store } from '@checkpoint-engine/interface';
import {
  type EngineClient,
  openStore,
  ParameterServer,
  type ProgressEvent,
  type RegisteredCheckpoint,
  v1Protocol,
  v2Protocol,
} from '@checkpoint-engine/ps';
import type { RankIdentity, Secrets } from '../config/environment.ts';
import type { UpdateJob, WorldJob } from '../config/jobs.ts';
import type { RankDevice } from '../process/messages.ts';
import type { World } from '../process/world.ts';
import { atRank } from './at-rank.ts';
import { bothOrNone } from './both-or-none.ts';
import { engineClient } from './engine-client.ts';
import { leaveTogether } from './leave-together.ts';
import { loadBroadcast } from './load-broadcast.ts';
import { openDevice } from './open-device.ts';
import type { RankReport } from './rank-report.ts';
import { writeMetas } from './write-metas.ts';

/** What {@link LocalWorld.open} takes. */
export interface LocalWorldOptions {
  readonly identity: RankIdentity;
  readonly job: WorldJob;
  readonly secrets: Secrets;
  readonly logger: Logger;
  /** Fails what is under way, on all ranks. */
  readonly signal: AbortSignal;
  readonly onEvent: (event: ProgressEvent) => void;
}

/** One rank in this process: its device, its place in the world, its parameter server. */
export class LocalWorld implements World {
  readonly #options: LocalWorldOptions;
  readonly #closers: (() => Promise<void>)[] = [];
  #device!: Device;
  #store!: Store;
  #server!: ParameterServer;

  private constructor(options: LocalWorldOptions) {
    this.#options = options;
  }

  /** Joins the world; resolves when all ranks are there. Nothing stays behind when it rejects. */
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

  get devices(): readonly RankDevice[] {
    const { kind, uuid, name } = this.#device;
    return [{ kind, uuid, name }];
  }

  async update(update: UpdateJob): Promise<readonly [RankReport]> {
    try {
      return [await this.#update(update)];
    } catch (error) {
      throw await this.#fail(error);
    }
  }

  async close(): Promise<void> {
    for (let close = this.#closers.pop(); close; close = this.#closers.pop()) await close();
  }

  async #open(): Promise<void> {
    const { identity, job, secrets, logger, signal } = this.#options;
    const { rank, worldSize, masterAddr, masterPort, localRank } = identity;
    const { deviceKind, memFraction, maxBucketBytes, timeoutMs } = job;
    // What may be missing on this machine is found out before others are kept waiting.
    const broadcast: BroadcastTransport | undefined = await loadBroadcast(deviceKind, worldSize);
    if (broadcast) this.#closers.push(() => broadcast.close());
    this.#device = await openDevice(deviceKind, localRank);
    this.#closers.push(() => this.#device.close());
    this.#store = await openStore({
      rank,
      worldSize,
      masterAddr,
      masterPort,
      token: secrets.token,
      timeoutMs,
      signal,
      logger,
    });
    this.#closers.push(() => this.#store.close());
    this.#closers.push(() => leaveTogether(this.#store));
    const protocol = this.#engine(0).workers === 'v2' ? v2Protocol() : v1Protocol();
    this.#server = await ParameterServer.create({
      store: this.#store,
      device: this.#device,
      broadcast,
      protocol,
      logger,
      memFraction,
      maxBucketBytes,
    });
    this.#closers.push(() => this.#server.close());
    await this.#store.barrier('opened', { timeoutMs, signal });
  }

  async #update(update: UpdateJob): Promise<RankReport> {
    const { job, identity, signal, onEvent } = this.#options;
    const { checkpointName: name, timeoutMs } = update;
    const registered = await this.#register(update);
    const startedAtMs = performance.now();
    const metas = await this.#server.gatherMetas(name, { timeoutMs, signal });
    const gatherMs = performance.now() - startedAtMs;
    if (update.metasFile && identity.rank === 0) await writeMetas(update.metasFile, metas);
    const result = await this.#server.update(name, {
      requestEngine: async ({ groupIndex, ...request }) => {
        const client = this.#engine(groupIndex);
        await client.preflight?.(request);
        await client.update(request);
      },
      inferenceParallelSize: job.targets.parallelSize,
      bucketBytes: update.bucketBytes,
      deviceMemoryBytes: update.deviceMemoryBytes,
      stages: update.stages,
      releaseCommunicators: update.releaseCommunicators,
      timeoutMs,
      weightVersion: update.weightVersion,
      signal,
      onEvent,
    });
    return { rank: identity.rank, registered, gatherMs, update: result };
  }

  /** Reads the checkpoint while the engine gets ready, if it has only just been started. */
  async #register(update: UpdateJob): Promise<RegisteredCheckpoint> {
    const { onEvent, identity } = this.#options;
    const { checkpointName: name, checkpointPath: files, keepFiles, stream, hostMemoryBytes } = update;
    const source = { files, keepFiles, stream, hostMemoryBytes };
    const atMs = performance.timeOrigin + performance.now();
    // The reader reports what it has read: that it begins is said here. Files that stream are read later.
    if (!stream) onEvent({ type: 'register', rank: identity.rank, doneBytes: 0, totalBytes: 0, atMs });
    for (const other of this.#server.checkpoints) await this.#server.unregisterCheckpoint(other);
    const [registered] = await bothOrNone(this.#options.signal, [
      (signal) => this.#server.registerCheckpoint(name, source, { signal, onEvent }),
      (signal) => this.#untilEngineReady(signal, update.timeoutMs),
    ]);
    return registered;
  }

  /** The first rank of each inference group speaks to its engine. */
  async #untilEngineReady(signal: AbortSignal, timeoutMs: number): Promise<void> {
    const { rank } = this.#options.identity;
    const { parallelSize } = this.#options.job.targets;
    if (rank % parallelSize === 0) await this.#engine(rank / parallelSize).ready({ signal, timeoutMs });
  }

  #engine(groupIndex: number): EngineClient {
    const { job, secrets, logger } = this.#options;
    return engineClient(job.targets, groupIndex, { apiKey: secrets.apiKey, logger });
  }

  /** Tells the other ranks, which may be waiting for this one, and gives the error to throw. */
  async #fail(error: unknown): Promise<CheckpointEngineError> {
    const failure = atRank(error, this.#options.identity.rank);
    await this.#store?.abort(failure).catch(() => {});
    return failure;
  }
}
