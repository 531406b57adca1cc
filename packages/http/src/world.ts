import type { ModuleReport, SerializedError } from '@checkpoint-engine/interface';
import type { ProgressEvent, UpdateOptions, VerifyReport, VerifySummary } from '@checkpoint-engine/ps';

/** An inference instance's description of its weights. */
export interface InstanceAnswer {
  /** Its URL, or the path of its socket. */
  readonly endpoint: string;
  /**
   * The version that all its workers hold, or `unknown`. Absent if it does not answer, or does not support the query.
   */
  readonly weightVersion?: string | undefined;
  /** The checkpoint that all its workers hold. */
  readonly checkpoint?: string | undefined;
}

/** Options of {@link HttpWorld.askInstances}. */
export interface AskOptions {
  readonly signal: AbortSignal;
  /** Whether the answers are still of use. If not, the instances are not queried, because an update may be running. */
  readonly isWanted: () => boolean;
}

/** A world of ranks for the HTTP API. Calls for different checkpoints may run at the same time. */
export interface HttpWorld {
  readonly worldSize: number;
  /** The inference instances of updates that do not select any: URLs, or paths of sockets. @default none */
  readonly instances?: readonly string[] | undefined;
  /**
   * Queries the versions that these instances hold, in bounded time. Changes nothing. Absent if that is not possible.
   *
   * @throws The signal's reason, or the reason why no rank can send the query.
   */
  askInstances?(options: AskOptions): Promise<readonly InstanceAnswer[]>;
  /** The current state of all ranks, by rank. */
  ranks(): readonly RankView[];
  /** The current state of all checkpoints. */
  checkpoints(): readonly CheckpointView[];
  /**
   * Reads a checkpoint into the pools of all ranks. Resolves when all hold their share. When `onAccepted` is called,
   * all ranks have read the headers, and metas can be gathered and updates can start.
   *
   * @throws `CE_CHECKPOINT_EXISTS`, `CE_FILE_*`, `CE_TENSOR_*`, `CE_DTYPE_UNKNOWN`, `CE_HOST_OUT_OF_MEMORY`,
   * `CE_RANK_LOST`
   */
  register(
    name: string,
    source: RegisterRequest,
    options: { readonly signal: AbortSignal; readonly onAccepted?: (() => void) | undefined },
  ): Promise<void>;
  /** Frees the memory, also of a checkpoint that some ranks have lost. @throws `CE_CHECKPOINT_UNKNOWN`, `_BUSY` */
  unregister(name: string, options: { readonly force: boolean }): Promise<void>;
  /** Exchanges what each rank holds. @throws `CE_CHECKPOINT_UNKNOWN`, `CE_CHECKPOINT_LOST`, `CE_TENSOR_DUPLICATE` */
  gatherMetas(name: string, options: { readonly signal: AbortSignal }): Promise<void>;
  /** The metas of all ranks, encoded by `encodeWorldMetas`. @throws `CE_METAS_MISSING` before they were gathered */
  exportMetas(name: string): Promise<Uint8Array>;
  /** Loads metas that another world exported. @throws `CE_METAS_INVALID` */
  importMetas(name: string, metas: Uint8Array): Promise<void>;
  /**
   * Loads a checkpoint into the engines. Called for one update at a time.
   *
   * @throws The first failure of any rank, worker or engine. Registered checkpoints are intact then.
   */
  update(
    name: string,
    request: UpdateRequest,
    options: { readonly signal: AbortSignal; readonly onEvent: (event: UpdateEvent) => void },
  ): Promise<UpdateSummary>;
  /**
   * Compares what the engines hold with a checkpoint. It changes nothing in them. Waits for a running update. Absent
   * if that is not possible.
   *
   * @throws `CE_NOT_SUPPORTED` An engine cannot report it; `CE_ENGINE_MISMATCH` it holds other tensors; otherwise as `update`
   */
  verify?(name: string, request: VerifyRequest, options: { readonly signal: AbortSignal }): Promise<VerifyReport>;
}

/**
 * A world in which each rank can have its own files, like the ranks of the Python tool. `createHttpApi` then also
 * serves the routes of the Python tool for each rank.
 */
export interface RankWorld extends HttpWorld {
  /**
   * Loads files into the pool of one rank, which takes all their tensors. Without files, the rank holds nothing.
   *
   * @throws As {@link HttpWorld.register}
   */
  registerAt(
    name: string,
    rank: number,
    files: readonly string[],
    options: { readonly signal: AbortSignal },
  ): Promise<void>;
  /** Releases what one rank holds of a checkpoint. @returns Whether it held anything. @throws `CE_CHECKPOINT_BUSY` */
  unregisterAt(name: string, rank: number): Promise<boolean>;
}

/**
 * The state of a rank: it joins the world, is ready, does not answer (and will be restarted if this continues), or is
 * lost and about to be restarted.
 */
export type RankState = 'starting' | 'ready' | 'unresponsive' | 'lost';

/** One rank. */
export interface RankView {
  readonly rank: number;
  readonly state: RankState;
  /** Index of the host that runs it. */
  readonly node: number;
  readonly device?: { readonly kind: string; readonly uuid: string; readonly name: string } | undefined;
  readonly restarts: number;
  /** The reason for the last restart. */
  readonly lastError?: SerializedError | undefined;
}

/**
 * The state of a rank's share. `loading`: the headers are read, and the rest is being read, so updates may run. `lost`:
 * the rank was restarted and could not register its share again.
 */
export type ShareState = 'registering' | 'loading' | 'registered' | 'lost';

/** One rank's share of a checkpoint. */
export interface ShareView {
  readonly rank: number;
  readonly state: ShareState;
  readonly tensorCount: number;
  /** Size of its tensors in bytes. */
  readonly sizeBytes: number;
  readonly poolBytes: number;
  /** The reason why the share is lost. */
  readonly error?: SerializedError | undefined;
}

/** One checkpoint. Its state is the worst state of its shares. */
export interface CheckpointView {
  readonly name: string;
  /** Version from the registration. */
  readonly weightVersion?: string | undefined;
  readonly state: ShareState;
  /** Absent if only metas were imported. */
  readonly files?: string | readonly string[] | undefined;
  readonly hasMetas: boolean;
  readonly tensorCount: number;
  readonly sizeBytes: number;
  readonly warnings: readonly string[];
  readonly ranks: readonly ShareView[];
}

/** A request to register. Every rank reads its share of the files. */
export interface RegisterRequest {
  /** Safetensors files, or one folder. */
  readonly files: readonly string[];
  /** Whether to keep files on `/dev/shm` after an update has succeeded. @default false */
  readonly keepFiles?: boolean | undefined;
  /** Whether to read the files during updates instead of now. @default false */
  readonly stream?: boolean | undefined;
  /** Time-out of reading all files. @default the world's own */
  readonly timeoutMs?: number | undefined;
  /** Version of its weights. @default each update creates one */
  readonly weightVersion?: string | undefined;
}

/** A request to update. Absent fields have the defaults of the server. */
export interface UpdateRequest {
  /** Ranks whose engines receive; the others only serve. Empty: all. */
  readonly ranks: readonly number[];
  /** URL of one engine's update request, with its path. */
  readonly updateUrl?: string | undefined;
  /** Unix socket to send the request through. */
  readonly uds?: string | undefined;
  /** The ranks whose workers belong to that engine. Empty: all. */
  readonly inferenceGroupRanks: readonly number[];
  readonly timeoutMs: number;
  /** @default that of the checkpoint */
  readonly weightVersion?: string | undefined;
  /** The share of the bytes that is compared with the registered bytes. */
  readonly verify?: UpdateOptions['verify'];
  /** How the workers receive: see `UpdateOptions.method` of `ps`. */
  readonly method?: UpdateOptions['method'];
  /** Engines to use instead of the one at `updateUrl`. Absent: `updateUrl`, or the engines of the server. */
  readonly engines?: readonly NamedEngine[] | undefined;
}

/** A request to verify: the engines as in a request to update. */
export type VerifyRequest = Pick<UpdateRequest, 'ranks' | 'updateUrl' | 'uds' | 'inferenceGroupRanks' | 'timeoutMs'>;

/** One engine from the requests of a client of the Python tool's routes. */
export interface NamedEngine {
  readonly updateUrl: string;
  readonly uds?: string | undefined;
  /** The engine receives the addresses of these ranks' workers. Empty: those of all ranks that receive. */
  readonly ranks: readonly number[];
  /** Time-out of the request to the engine. */
  readonly timeoutMs: number;
}

/** A request was sent to an engine, or the engine has reported success. */
export interface EngineEvent {
  readonly type: 'engine';
  readonly state: 'asked' | 'acknowledged';
  /** The rank that sent the request. */
  readonly rank: number;
  readonly groupIndex: number;
  /** The address of the engine: its URL, or the path of its socket. */
  readonly endpoint: string;
  readonly atMs: number;
}

/** An event of an update. */
export type UpdateEvent = ProgressEvent | EngineEvent;

/** The result of an update. Durations are those of the slowest rank. */
export interface UpdateSummary {
  /** Version of the weights that the engines hold now. @default that of the request, or one that no other update has */
  readonly weightVersion?: string | undefined;
  readonly totalBytes: number;
  readonly tensorCount: number;
  readonly bucketCount: number;
  readonly deviceBytes: number;
  /** The comparison with the registered bytes: the sum over all ranks. */
  readonly verified?: VerifySummary | undefined;
  /** Files on `/dev/shm` that were used in place and are removed. */
  readonly removedFiles: readonly string[];
  readonly durationsMs: Readonly<Record<string, number>>;
  /** By rank, the decisions for the modules of its worker. Absent if no worker reported them. */
  readonly modules?: ReadonlyMap<number, ModuleReport> | undefined;
}
