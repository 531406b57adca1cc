import type {
  BroadcastTransport,
  Device,
  Logger,
  ModuleReport,
  P2PTransport,
  Store,
} from '@checkpoint-engine/interface';
import type { DType, RankMetas } from '@checkpoint-engine/meta';
import type { WorkerChoice } from './engines/engine-client.ts';
import type { WorkerProtocol } from './session.ts';

/** A tensor that the caller holds in memory. */
export interface NamedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Exactly the tensor's bytes, little-endian and contiguous. Not to be changed until registration has resolved. */
  readonly bytes: Uint8Array;
}

/** Safetensors files on disk or in `/dev/shm`. */
export interface FileSource {
  /** A folder (with or without `model.safetensors.index.json`), a file, or a list of files. */
  readonly files: string | readonly string[];
  /**
   * `balanced`: every rank names the same files and takes its share by bytes. `all`: this rank takes every tensor of
   * the files that it names, as the Python tool's ranks do.
   * @default 'balanced'
   */
  readonly share?: 'balanced' | 'all' | undefined;
  /**
   * Use files on `/dev/shm` where they lie instead of copying them into the pool. On the host device with `p2p` they are
   * copied all the same, unless they stream, and not removed: peers could not read them where they lie. @default true
   */
  readonly inPlace?: boolean | undefined;
  /**
   * Leave files that are used in place on `/dev/shm`. By default they are removed once an update of the checkpoint has
   * succeeded on all ranks, so that their memory is freed with the checkpoint. Until then they stay: after a failure all
   * can be registered again. A file is removed only while its name still belongs to it and its content is unchanged;
   * what is reached through a symbolic link stays.
   *
   * Files that are used in place have to stay as they are until they are removed or the checkpoint is unregistered: an
   * update of files that were rewritten or shortened fails (`CE_FILE_CHANGED`). Another file under the same name does no
   * harm.
   * @default false
   */
  readonly keepFiles?: boolean | undefined;
  /**
   * `now`: registration resolves when the bytes are in host memory. `background`: it resolves once the headers are
   * read; the files are read from then on, and an update may run meanwhile: it takes every bucket as soon as its bytes
   * are there. The files have to stay as they are until {@link ParameterServer.checkpointLoaded} or an update has resolved; one
   * that changes before fails both (`CE_FILE_CHANGED`). Other failures end reading, and the next update goes on with
   * it. Not together with `stream`.
   * @default 'now'
   */
  readonly load?: 'now' | 'background' | undefined;
  /**
   * Leave the bytes in the files until an update reads them: file read, copy to the device, broadcast and reload then
   * run at the same time, and host memory stays bounded. Each update reads the files again; a file that has changed
   * since registration fails it (`CE_FILE_CHANGED`). Files used in place are not read; they are looked at all the same.
   * @default false
   */
  readonly stream?: boolean | undefined;
  /**
   * Most host memory that an update of a checkpoint that streams reads into, 1 MiB and up. Larger tensors pass through
   * it in parts.
   * @default 2 GiB
   */
  readonly hostMemoryBytes?: number | undefined;
}

/** Where a checkpoint's bytes come from. */
export type CheckpointSource = FileSource | { readonly tensors: readonly NamedTensor[] };

/** Options of {@link ParameterServer.registerCheckpoint}. */
export interface RegisterOptions {
  /**
   * `shared`: use the one reusable pool of this server, which outlives the checkpoint and has one user at a time. A
   * checkpoint that streams uses it during its updates only.
   * @default 'own'
   */
  readonly pool?: 'own' | 'shared' | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Not called for what is read in the background: updates tell of that. */
  readonly onEvent?: ((event: ProgressEvent) => void) | undefined;
}

/** What this rank holds of a checkpoint. */
export interface RegisteredCheckpoint {
  readonly name: string;
  readonly tensorCount: number;
  /** Bytes of the tensors. */
  readonly sizeBytes: number;
  /** Bytes of memory that hold them, alignment included. None for files that are read during the update. */
  readonly poolBytes: number;
  readonly warnings: readonly string[];
  readonly durationMs: number;
}

/** What the engine is asked to do, once per inference group, by the group's first rank. */
export interface EngineRequest {
  /** Device UUID to address, for the devices of this group only. */
  readonly handles: Readonly<Record<string, string>>;
  readonly groupIndex: number;
  readonly timeoutMs: number;
  /** Fires when the update has failed or was aborted: give up at once. */
  readonly signal: AbortSignal;
  /** Version of the weights, where the caller gave one. */
  readonly weightVersion?: string | undefined;
}

/** What {@link UpdateOptions.chooseWorkers} is asked. */
export type ChoiceRequest = Pick<EngineRequest, 'groupIndex' | 'timeoutMs' | 'signal'>;

/** Options of {@link ParameterServer.update}. Equal on all ranks, but for callbacks and signals. */
export interface UpdateOptions {
  /**
   * Ranks whose engines receive; the others serve: they are read from, and their own engines are left alone. All ranks
   * of the world call `update` even so. @default all
   */
  readonly ranks?: readonly number[] | undefined;
  /**
   * Asks the inference engine to receive; resolves when the engine says that it is done, rejects when it refuses. The
   * update fails at once when it rejects.
   */
  readonly requestEngine: (request: EngineRequest) => Promise<void>;
  /**
   * `auto`: workers that say what they keep copy exactly that out of memory of their host, and take in buckets only what
   * has to pass through their loader; where some worker cannot, everything comes in buckets to all. `pull`: fail instead.
   * `buckets`: do not ask.
   * @default 'auto'
   */
  readonly strategy?: 'auto' | 'pull' | 'buckets' | undefined;
  /** Ranks an inference instance spans. `ranks` has all of an instance's or none. @default all that receive */
  readonly inferenceParallelSize?: number | undefined;
  /** How workers are spoken to. @default the server's protocol */
  readonly protocol?: WorkerProtocol | undefined;
  /**
   * Finds out how the workers of an inference group are spoken to, and takes the place of `protocol` and `passes`. The
   * group's first rank calls it once the ranks have met, and tells the others.
   */
  readonly chooseWorkers?: ((request: ChoiceRequest) => Promise<WorkerChoice>) | undefined;
  /** Most bytes of a bucket; it grows to the largest tensor. */
  readonly bucketBytes?: number | undefined;
  /** Most bytes of device memory that the update may take. */
  readonly deviceMemoryBytes?: number | undefined;
  /**
   * `any`: after their post-load hook, workers may come again to the same address before the engine answers, and get all
   * buckets once more. SGLang does so for each draft runner. All engines of the world have to load equally often.
   * @default 'one'
   */
  readonly passes?: 'one' | 'any' | undefined;
  /**
   * Gives the memory of the broadcast transport's communicators back after the update. The next one makes them anew,
   * which can take seconds. @default false
   */
  readonly releaseCommunicators?: boolean | undefined;
  /** Leave files on `/dev/shm` that are used in place for a later update, or {@link ParameterServer.removeFiles}. @default false */
  readonly keepFiles?: boolean | undefined;
  /** For the whole update. @default 300_000 */
  readonly timeoutMs?: number | undefined;
  readonly weightVersion?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with what happens, as it happens. It must not throw. */
  readonly onEvent?: ((event: ProgressEvent) => void) | undefined;
}

/** The stages of a bucket's way; `pull`: a worker copies what it keeps. `read` is from a file (registration and streaming), or out of a peer's memory (P2P). */
export type Stage = 'read' | 'h2d' | 'broadcast' | 'reload' | 'pull';

/** What happens while bytes move. Times are milliseconds since the epoch, comparable between the processes of a host. */
export type ProgressEvent =
  | { readonly type: 'phase'; readonly phase: UpdatePhase; readonly atMs: number; readonly rank: number }
  | {
      readonly type: 'register';
      readonly rank: number;
      readonly doneBytes: number;
      readonly totalBytes: number;
      readonly atMs: number;
    }
  | {
      readonly type: 'plan';
      readonly rank: number;
      readonly bucketBytes: number;
      readonly bucketCount: number;
      readonly ringSlots: number;
      readonly stagingSlots: number;
      readonly deviceBytes: number;
      readonly totalBytes: number;
      /** How the bytes come, and why so. */
      readonly strategy: 'pull' | 'buckets';
      readonly strategyReason: string;
      /** Bytes that this rank's worker keeps: all of `totalBytes` if it is not asked, 0 if it receives nothing. */
      readonly neededBytes: number;
      /**
       * What this rank is about to bring through each stage: the sum of `sizeBytes` of the `bucket-end` events that
       * follow, in one pass. 0 where it has no part in a stage.
       */
      readonly stageBytes: Readonly<Record<Stage, number>>;
      readonly reason: string;
      readonly atMs: number;
    }
  | {
      readonly type: 'bucket-start' | 'bucket-end';
      readonly rank: number;
      readonly stage: Stage;
      readonly bucket: number;
      readonly sizeBytes: number;
      readonly atMs: number;
    };

/** Where an update is. */
export type UpdatePhase = 'plan' | 'handshake' | 'stream' | 'release' | 'hook' | 'done';

/** What an update did, seen from this rank. */
export interface UpdateResult {
  readonly checkpoint: string;
  /** Rises with every update of the world. */
  readonly counter: number;
  readonly totalBytes: number;
  readonly tensorCount: number;
  /** How the bytes came, and why so. */
  readonly strategy: 'pull' | 'buckets';
  readonly strategyReason: string;
  /** Bytes that this rank's worker keeps: all of `totalBytes` if it was not asked, 0 if it receives nothing. */
  readonly neededBytes: number;
  /** That it copied itself; the others of `neededBytes` came in buckets. */
  readonly pulledBytes: number;
  /** What was decided for the modules of this rank's worker, and why. Absent where it was not asked. */
  readonly modules?: ModuleReport | undefined;
  readonly bucketCount: number;
  readonly bucketBytes: number;
  readonly ringSlots: number;
  readonly stagingSlots: number;
  /** Device memory that this rank took for the update. */
  readonly deviceBytes: number;
  /** Why the buckets have this size. */
  readonly reason: string;
  /** Milliseconds of each phase, and of the whole. */
  readonly durationsMs: Readonly<Record<Exclude<UpdatePhase, 'done'> | 'total', number>>;
  /** Files on `/dev/shm` that this rank removed, since all ranks have succeeded. */
  readonly removedFiles: readonly string[];
}

/** What a parameter server is made of. It is handed its parts: it loads no transport by itself. */
export interface ParameterServerOptions {
  /** The outermost scope of the world; rank and world size come from it. */
  readonly store: Store;
  readonly device: Device;
  /** Needed when the world has more than one rank, unless `p2p` is given: then each rank reads all for itself. */
  readonly broadcast?: BroadcastTransport | undefined;
  /**
   * Lets peers read what this server holds, and this server read what peers hold. Pools then lie in shared memory of the
   * host.
   */
  readonly p2p?: P2PTransport | undefined;
  /**
   * Hold checkpoints in shared memory of the host (`/dev/shm`), so that workers can copy out of it. Otherwise what they
   * keep passes through a ring in shared memory. @default false, and true with `p2p`
   */
  readonly sharePools?: boolean | undefined;
  /** @default the Python tool's (v1) */
  readonly protocol?: WorkerProtocol | undefined;
  readonly logger?: Logger | undefined;
  /** Identifies this host in metas. @default the host name */
  readonly host?: string | undefined;
  /**
   * Names of the NICs that peers reach this rank through; ranks of a host with the same ones share them. Reads are
   * spread over the NICs of both sides.
   */
  readonly nics?: readonly string[] | undefined;
  /** Share of free device memory that updates may take, 0 to 1 (`PS_MEM_FRACTION`). */
  readonly memFraction?: number | undefined;
  /** Bound on buckets (`PS_MAX_BUCKET_SIZE_GB`). */
  readonly maxBucketBytes?: number | undefined;
}

/** The metas of all ranks, by rank. */
export type WorldMetas = readonly RankMetas[];
