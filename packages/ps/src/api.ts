import type { WorkerChoice } from '@checkpoint-engine/engines';
import type {
  BroadcastTransport,
  Device,
  Logger,
  ModuleReport,
  Needs,
  P2PTransport,
  Store,
} from '@checkpoint-engine/interface';
import type { ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import type { ProgressEvent, UpdatePhase, VersionChange } from './progress-event.ts';
import type { WorkerProtocol } from './session.ts';
import type { VerifyMode } from './verify/sampling.ts';
import type { VerifySummary } from './verify/verifier.ts';

/** Options of {@link ParameterServer.connect}. */
export interface ConnectOptions {
  /** Whether updates will need the group, if a rank knows. `false` at one rank decides for all. @default true */
  readonly isWanted?: (() => Promise<boolean>) | undefined;
  /** @default 120_000 */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A request to the engine, made once per inference group by the group's first rank. */
export interface EngineRequest {
  /** Device UUID to address, for the devices of this group only. */
  readonly handles: Readonly<Record<string, string>>;
  readonly groupIndex: number;
  readonly timeoutMs: number;
  /** Fires when the update has failed or was aborted: stop at once. */
  readonly signal: AbortSignal;
  /**
   * Version of the weights, for engines that keep one. Absent where the engine only prepares, and where the version is
   * derived from bytes that the update reads.
   */
  readonly weightVersion?: string | undefined;
  /**
   * The version in both cases. Resolves when the workers of all ranks hold the weights. Never rejects, and never settles
   * if the update fails. Absent where the engine only prepares.
   */
  readonly settledVersion?: Promise<string> | undefined;
  /**
   * Resolves when the worker of the group's first rank holds the weights. Never rejects, and never settles if it fails.
   */
  readonly loaded: Promise<void>;
}

/** The argument of {@link UpdateOptions.chooseWorkers}. */
export type ChoiceRequest = Pick<EngineRequest, 'groupIndex' | 'timeoutMs' | 'signal'>;

/** Options of {@link ParameterServer.update}. Equal on all ranks, except for callbacks and signals. */
export interface UpdateOptions {
  /**
   * Ranks whose engines receive. The others only serve reads, and their engines keep their weights. All ranks of the
   * world must call `update`. @default all
   */
  readonly ranks?: readonly number[] | undefined;
  /**
   * Asks the inference engine to receive. Resolves when the engine reports success, and rejects when the engine rejects
   * the request; the update then fails at once.
   */
  readonly requestEngine: (request: EngineRequest) => Promise<void>;
  /**
   * `auto`: workers that support it copy what they keep from host memory, and receive only the tensors that their
   * loader transforms in buckets; if a worker does not support it, all workers receive everything in buckets. `pull`:
   * fail in that case. `buckets`: always use buckets.
   * @default 'auto'
   */
  readonly method?: 'auto' | 'pull' | 'buckets' | undefined;
  /**
   * Number of ranks per inference instance. `ranks` must have all ranks of an instance or none. @default all receivers
   */
  readonly inferenceParallelSize?: number | undefined;
  /** The worker protocol. @default the server's protocol */
  readonly protocol?: WorkerProtocol | undefined;
  /**
   * Detects the worker protocol of an inference group, in place of `protocol` and `passes`. The group's first rank
   * calls it while the ranks agree on the update, and sends the result to the others.
   */
  readonly chooseWorkers?: ((request: ChoiceRequest) => Promise<WorkerChoice>) | undefined;
  /** Maximum size of a bucket; it grows to the largest tensor. */
  readonly bucketBytes?: number | undefined;
  /** Maximum device memory for the update. */
  readonly deviceMemoryBytes?: number | undefined;
  /**
   * `any`: after their post-load hook, workers may connect to the same address again before the engine answers, and
   * receive all buckets once more. SGLang does so for each draft runner. All engines of the world must load equally
   * often.
   * @default 'one'
   */
  readonly passes?: 'one' | 'any' | undefined;
  /**
   * Free the memory of the broadcast transport's communicators after the update. The next update creates new ones,
   * which can take seconds. @default false
   */
  readonly releaseCommunicators?: boolean | undefined;
  /**
   * The share of the bytes that is compared with the registered ones. `sample`: some blocks of every bucket, and of the
   * bytes that workers copy themselves. `full`: every byte that arrives in buckets, and after loading every byte of the
   * parameters that a worker copied itself. Bytes that differ fail the update (`CE_DIGEST_MISMATCH`). See
   * `docs/digests.md`.
   * @default 'sample'
   */
  readonly verify?: VerifyMode | undefined;
  /**
   * Keep files on `/dev/shm` that are used in place, for a later update or {@link ParameterServer.removeFiles}.
   * @default false
   */
  readonly keepFiles?: boolean | undefined;
  /** Time-out of the complete update. @default 300_000 */
  readonly timeoutMs?: number | undefined;
  /**
   * Version that the engines hold once all ranks have confirmed the update. See `WEIGHT_VERSION_RULE` of the package
   * interface.
   * @default that of the checkpoint; if it has none, `digest:` and the
   * digest of all its bytes; where those are not known, `update-` and a number that no other update of the world has
   */
  readonly weightVersion?: string | undefined;
  /**
   * Called when this rank's worker has reported its needs, with the tensors in the order of their indexes. It must not
   * throw.
   */
  readonly onNeeds?: ((needs: Needs, tensors: readonly ParameterMeta[]) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called for each event at once. It must not throw. */
  readonly onEvent?: ((event: ProgressEvent) => void) | undefined;
}

/** The result of an update at this rank. */
export interface UpdateResult {
  readonly checkpoint: string;
  /** Rises with every update of the world. */
  readonly counter: number;
  /** Version of the weights that the engines hold now. */
  readonly weightVersion: string;
  /** Version of this rank's instance. Absent if this rank receives nothing. */
  readonly version?: VersionChange | undefined;
  readonly totalBytes: number;
  readonly tensorCount: number;
  /** The method that the ranks chose, and the reason for it. */
  readonly method: 'pull' | 'buckets';
  readonly methodReason: string;
  /** Bytes that this rank's worker keeps: all of `totalBytes` if it was not asked, 0 if it receives nothing. */
  readonly neededBytes: number;
  /** The part of `neededBytes` that the worker copied itself; the rest came in buckets. */
  readonly pulledBytes: number;
  /** The decisions for the modules of this rank's worker, with reasons. Absent if it was not asked. */
  readonly modules?: ModuleReport | undefined;
  readonly bucketCount: number;
  readonly bucketBytes: number;
  readonly ringSlots: number;
  readonly stagingSlots: number;
  /** Device memory that this rank used for the update. */
  readonly deviceBytes: number;
  /** The reason for the size of the buckets. */
  readonly reason: string;
  /**
   * Milliseconds of each phase, of the complete update, and of the pause of the engine that this rank asked: from the
   * first request to the last answer. Its workers compute nothing during this time. 0 if this rank sent no request.
   */
  readonly durationsMs: Readonly<Record<Exclude<UpdatePhase, 'done'> | 'total' | 'engine', number>>;
  /** Bytes that were compared with the registered ones. */
  readonly verified: VerifySummary;
  /** Files on `/dev/shm` that this rank removed after all ranks had succeeded. */
  readonly removedFiles: readonly string[];
}

/** The parts of a parameter server. The caller passes them in: the server loads no transport itself. */
export interface ParameterServerOptions {
  /** The outermost scope of the world, which defines rank and world size. */
  readonly store: Store;
  readonly device: Device;
  /** Required if the world has several ranks, unless `p2p` is given: then each rank reads all buckets itself. */
  readonly broadcast?: BroadcastTransport | undefined;
  /**
   * Lets peers read what this server holds, and this server read what peers hold. Pools are then in shared memory of
   * the host.
   */
  readonly p2p?: P2PTransport | undefined;
  /**
   * Hold checkpoints in shared memory of the host (`/dev/shm`), so that workers can copy from it. Otherwise their data
   * passes through a ring in shared memory. @default false, and true with `p2p`
   */
  readonly sharePools?: boolean | undefined;
  /** @default the Python tool's (v1) */
  readonly protocol?: WorkerProtocol | undefined;
  readonly logger?: Logger | undefined;
  /** Identifies this host in metas. @default the host name */
  readonly host?: string | undefined;
  /**
   * Names of the NICs that peers use to reach this rank; ranks of a host with the same names share them. Reads are
   * distributed over the NICs of both sides.
   */
  readonly nics?: readonly string[] | undefined;
  /** Maximum fraction of the free device memory for updates, 0 to 1 (`PS_MEM_FRACTION`). */
  readonly memFraction?: number | undefined;
  /** Maximum size of buckets (`PS_MAX_BUCKET_SIZE_GB`). */
  readonly maxBucketBytes?: number | undefined;
}

/** The metas of all ranks, by rank. */
export type WorldMetas = readonly RankMetas[];
