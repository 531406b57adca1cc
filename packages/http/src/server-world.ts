import { CheckpointEngineError, type Device, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { nowMs } from '@checkpoint-engine/interface/shared';
import { decodeWorldMetas, encodeWorldMetas } from '@checkpoint-engine/meta';
import {
  type EngineClient,
  type ParameterServer,
  type UpdateOptions,
  type UpdateResult,
  type VerifyReport,
  v1Protocol,
  v2Protocol,
} from '@checkpoint-engine/ps';
import { checkpointBusy, checkpointDeleted } from './checkpoint-errors.ts';
import { type Entry, viewOf } from './server-entry.ts';
import type {
  CheckpointView,
  EngineEvent,
  HttpWorld,
  RankView,
  RegisterRequest,
  UpdateEvent,
  UpdateRequest,
  UpdateSummary,
  VerifyRequest,
} from './world.ts';

/** The options of {@link serverWorld}. */
export interface ServerWorldOptions {
  /** The server of a world of one rank. The caller closes it. */
  readonly server: ParameterServer;
  /** The server's device. */
  readonly device: Pick<Device, 'kind' | 'uuid' | 'name'>;
  /**
   * Returns the engine of an update. `updateUrl` and `uds` of the request identify one; both are absent if the client
   * leaves the choice to the server.
   */
  readonly engineOf: (request: UpdateRequest) => EngineClient;
  /**
   * Rejects if clients may not read these files. Without this function, a client can read every file that this process
   * can read.
   * @default all files may be read
   */
  readonly checkFiles?: ((files: readonly string[]) => Promise<void>) | undefined;
  /** Options of every update. */
  readonly update?:
    | Pick<UpdateOptions, 'bucketBytes' | 'deviceMemoryBytes' | 'releaseCommunicators' | 'method' | 'verify'>
    | undefined;
}

/** The default time-out of reading a checkpoint. */
const REGISTER_TIMEOUT_MS = 1_800_000;

/**
 * The world of one `ParameterServer`, for `createHttpApi`. A world of several ranks must send each call to all of them,
 * as `checkpoint-engine serve` does.
 *
 * @throws {RangeError} The server is one rank of several.
 *
 * @example
 * ```ts
 * const engineOf = () => vllmEngine({ endpoints: [{ url: 'http://127.0.0.1:8000' }] });
 * const api = createHttpApi(serverWorld({ server, device, engineOf }), { token });
 * ```
 */
export function serverWorld(options: ServerWorldOptions): HttpWorld {
  const { worldSize } = options.server;
  if (worldSize === 1) return new ServerWorld(options);
  throw new RangeError(`The server is one rank of ${worldSize}, and this world has one rank`);
}

class ServerWorld implements HttpWorld {
  readonly worldSize = 1;
  readonly #options: ServerWorldOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: ServerWorldOptions) {
    this.#options = options;
  }

  ranks(): readonly RankView[] {
    const { kind, uuid, name } = this.#options.device;
    return [{ rank: 0, state: 'ready', node: 0, device: { kind, uuid, name }, restarts: 0 }];
  }

  checkpoints(): readonly CheckpointView[] {
    return [...this.#entries.values()].map(viewOf);
  }

  async register(
    name: string,
    request: RegisterRequest,
    { signal, onAccepted }: { readonly signal: AbortSignal; readonly onAccepted?: (() => void) | undefined },
  ): Promise<void> {
    if (this.#entries.get(name)?.files !== undefined) throw exists(name);
    // One path may be a folder.
    const files = request.files.length === 1 ? request.files[0]! : request.files;
    const stopping = new AbortController();
    const { weightVersion } = request;
    const entry: Entry = { name, weightVersion, files, state: 'registering', hasMetas: false };
    this.#entries.set(name, entry);
    const { timeoutMs = REGISTER_TIMEOUT_MS } = request;
    const stop = AbortSignal.any([signal, stopping.signal, AbortSignal.timeout(timeoutMs)]);
    const work = this.#register(entry, request, stop, onAccepted);
    entry.registration = { stop: (reason) => stopping.abort(reason), ended: work.catch(() => {}) };
    await work;
  }

  async #register(
    entry: Entry,
    request: RegisterRequest,
    stop: AbortSignal,
    onAccepted: (() => void) | undefined,
  ): Promise<void> {
    const { server, checkFiles } = this.#options;
    const { name } = entry;
    const { keepFiles, stream = false, weightVersion } = request;
    let isAccepted = false;
    try {
      await checkFiles?.(request.files);
      // Updates can start while files are still read in the background.
      const source = { files: entry.files!, keepFiles, ...(stream ? { stream } : { load: 'background' as const }) };
      entry.registered = await server.registerCheckpoint(name, source, { signal: stop, weightVersion });
      entry.state = stream ? 'registered' : 'loading';
      isAccepted = onAccepted !== undefined;
      onAccepted?.();
      if (!stream) await server.checkpointLoaded(name, { signal: stop });
      entry.state = 'registered';
      entry.mustGather = entry.hasMetas; // metas can contain the memory from now on
    } catch (thrown) {
      const error = toCheckpointEngineError(thrown);
      await server.unregisterCheckpoint(name, { force: true }).catch(() => {}); // it may not be registered yet
      if (isAccepted && !stop.aborted) Object.assign(entry, { state: 'lost', error: error.toJSON() });
      else this.#entries.delete(name);
      throw error;
    }
  }

  async unregister(name: string, { force }: { readonly force: boolean }): Promise<void> {
    const entry = this.#get(name);
    if (entry.isUpdating) throw checkpointBusy(name);
    entry.registration?.stop(checkpointDeleted(name));
    await entry.registration?.ended;
    const isHeld = this.#options.server.checkpoints.includes(name);
    if (isHeld) await this.#options.server.unregisterCheckpoint(name, { force });
    if (this.#entries.get(name) === entry) this.#entries.delete(name);
  }

  async gatherMetas(name: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const entry = this.#get(name);
    await this.#options.server.gatherMetas(name, { signal });
    entry.hasMetas = true;
    entry.mustGather = false;
    entry.isImported = false;
  }

  async exportMetas(name: string): Promise<Uint8Array> {
    const { mustGather, isImported } = this.#get(name);
    const { server } = this.#options;
    if (mustGather) await this.gatherMetas(name, { signal: new AbortController().signal });
    const areDigested = server.getMetas(name).every(({ tensors, digests }) => tensors.length === 0 || digests);
    if (!areDigested && isImported !== true) await server.gatherMetas(name, { untilDigested: true });
    return encodeWorldMetas(server.getMetas(name));
  }

  async importMetas(name: string, metas: Uint8Array): Promise<void> {
    const decoded = decodeWorldMetas(metas);
    const named = decoded[0]?.checkpoint;
    if (named !== name) throw misnamed(name, named);
    this.#options.server.loadMetas(decoded);
    const entry: Entry = this.#entries.get(name) ?? { name, state: 'registered', hasMetas: true };
    const { weightVersion = entry.weightVersion } = decoded[0]!;
    Object.assign(entry, { hasMetas: true, isImported: true, weightVersion });
    this.#entries.set(name, entry);
  }

  async update(
    name: string,
    request: UpdateRequest,
    { signal, onEvent }: { readonly signal: AbortSignal; readonly onEvent: (event: UpdateEvent) => void },
  ): Promise<UpdateSummary> {
    const entry = this.#get(name);
    const { server, engineOf, update } = this.#options;
    const { timeoutMs, weightVersion, method = update?.method, verify = update?.verify } = request;
    checkRanks(request);
    const engine = engineOf(request);
    const endpoint = request.uds ?? request.updateUrl ?? engine.name;
    let isAsked = false;
    entry.isUpdating = true;
    try {
      const result = await server.update(name, {
        ...update,
        ...{ timeoutMs, weightVersion, method, verify, signal, onEvent },
        protocol: engine.workers === 'v2' ? v2Protocol() : v1Protocol(),
        passes: engine.passes,
        requestEngine: async ({ groupIndex, ...asked }) => {
          await engine.preflight?.(asked);
          const emit = (state: EngineEvent['state']): void =>
            onEvent({ type: 'engine', state, rank: 0, groupIndex, endpoint, atMs: nowMs() });
          isAsked = true;
          emit('asked');
          await engine.update(asked);
          emit('acknowledged');
        },
      });
      return summaryOf(result);
    } catch (error) {
      if (isAsked) await engine.forgetVersion?.();
      throw error;
    } finally {
      entry.isUpdating = false;
    }
  }

  async verify(
    name: string,
    { timeoutMs, ...request }: VerifyRequest,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<VerifyReport> {
    this.#get(name);
    const asked = { ...request, timeoutMs };
    checkRanks(asked);
    const engine = this.#options.engineOf(asked);
    return await this.#options.server.verify(name, {
      ...{ timeoutMs, signal },
      protocol: engine.workers === 'v2' ? v2Protocol() : v1Protocol(),
      requestEngine: async ({ groupIndex: _, ...rest }) => {
        await engine.preflight?.(rest);
        await engine.update({ ...rest, changesWeights: false });
      },
    });
  }

  /** @throws `CE_CHECKPOINT_UNKNOWN` */
  #get(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    throw new CheckpointEngineError(
      'CE_CHECKPOINT_UNKNOWN',
      `Checkpoint "${name}" is not registered`,
      `Register it first; registered checkpoints: ${[...this.#entries.keys()].join(', ') || 'none'}`,
    );
  }
}

function summaryOf(result: UpdateResult): UpdateSummary {
  const {
    weightVersion,
    totalBytes,
    tensorCount,
    bucketCount,
    deviceBytes,
    removedFiles,
    durationsMs,
    modules,
    verified,
  } = result;
  return {
    ...{ weightVersion, totalBytes, tensorCount, bucketCount, deviceBytes, removedFiles, durationsMs, verified },
    modules: modules && new Map([[0, modules]]),
  };
}

function checkRanks({ ranks, inferenceGroupRanks }: UpdateRequest): void {
  const unknown = [...ranks, ...inferenceGroupRanks].find((rank) => rank !== 0);
  if (unknown === undefined) return;
  throw new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `The update has rank ${unknown}, but this world has only rank 0`,
    'Use rank 0, or no rank for all ranks',
  );
}

function exists(name: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CHECKPOINT_EXISTS',
    `Checkpoint "${name}" is already registered`,
    'Use another name, or delete this checkpoint first',
  );
}

function misnamed(name: string, named: string | undefined): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_METAS_INVALID',
    `The metas are those of checkpoint "${named}", not of "${name}"`,
    'Send them to the path of their checkpoint',
  );
}
