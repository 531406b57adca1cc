import type { EngineName } from '@checkpoint-engine/engines';
import type { UpdateOptions } from '@checkpoint-engine/ps';
import type { LogLevel } from '../output/log-options.ts';
import type { MemoryLimits } from './environment.ts';

/** The kinds of `--engine`. They are here so that --help does not load the engine clients. */
export const ENGINES = Object.keys({
  vllm: true,
  sglang: true,
  lmdeploy: true,
  worker: true,
} satisfies Record<EngineName, true>) as EngineName[];

/** The methods of an update: see `UpdateOptions.method`. */
export const METHODS = ['auto', 'pull', 'buckets'] as const;
export type Method = (typeof METHODS)[number];

/** The share of the bytes that an update compares with the registered ones. */
export const VERIFY_MODES = ['off', 'sample', 'full'] as const;

/** Whether workers of an engine may map host memory. LMDeploy's workers receive buckets only. */
export function canMap(engine: EngineName, method: Method): boolean {
  return engine !== 'lmdeploy' && method !== 'buckets';
}

/** The kinds of devices. */
export type DeviceKind = 'cuda' | 'host';

/** The modes of `--pause`, by their effect on running requests. */
export const PAUSE_MODES = ['off', 'abort', 'wait', 'keep'] as const;
export type PauseMode = (typeof PAUSE_MODES)[number];

/** The engines that receive: one URL or socket for all inference groups, or one per group. */
export interface EngineTargets {
  readonly engine: EngineName;
  readonly endpoints: readonly string[];
  /** Unix sockets to connect to instead of the endpoints' hosts. */
  readonly uds: readonly string[];
  /** Ranks per engine. @default all that receive */
  readonly parallelSize?: number | undefined;
  /** Pause generation during updates, if the engine supports it: see `VllmOptions`. @default 'off' */
  readonly pause?: PauseMode | undefined;
  /** Whether to flush the prefix cache, which belongs to the old weights. @default true */
  readonly flushCache?: boolean | undefined;
  /** Path of the update request. @default the engine's own */
  readonly updatePath?: string | undefined;
  /** Whether a client of the server gave the address, in which case the API key is not sent to it. @default false */
  readonly isFromClient?: boolean | undefined;
  /**
   * Engines from requests to the Python tool's routes. The first rank that receives sends the requests to all of them.
   */
  readonly named?: readonly NamedTarget[] | undefined;
}

/** One engine of {@link EngineTargets.named}. */
export interface NamedTarget extends Pick<EngineTargets, 'endpoints' | 'uds' | 'updatePath' | 'isFromClient'> {
  /** The engine receives the addresses of the workers on these devices. Empty: all addresses. */
  readonly deviceUuids: readonly string[];
  /** Bounds the request. */
  readonly timeoutMs: number;
}

/** Transport of P2P reads. `auto`: RDMA devices that Mooncake finds, otherwise TCP. `shm`: memory of this host. */
export const P2P_TRANSPORTS = ['auto', 'rdma', 'efa', 'tcp', 'shm'] as const;
export type P2PTransportName = (typeof P2P_TRANSPORTS)[number];

/** The settings of reads between ranks. Plain data. */
export interface P2PSettings {
  readonly transport: P2PTransportName;
  /** An address of this host that peers can reach, or the name of an interface with such an address. */
  readonly host: string;
  /** Whether peers need `CHECKPOINT_ENGINE_TOKEN`. False if a supervisor created a token that no other world has. */
  readonly needsToken: boolean;
}

/** The settings that all ranks of a world share. Plain data, which travels to rank processes. */
export interface WorldSettings extends MemoryLimits {
  readonly deviceKind: DeviceKind;
  /**
   * `update`: rank 0 hosts the store, and the first failure ends the world. `server`: the supervisor hosts the store,
   * the world survives failures, and only the supervisor ends it.
   */
  readonly lifetime: 'update' | 'server';
  /** Absent if no rank reads from another. */
  readonly p2p?: P2PSettings | undefined;
  /** Whether to hold checkpoints in memory that workers can map. @default if peers read them */
  readonly sharePools?: boolean | undefined;
  /** Time-out of joining the world. */
  readonly timeoutMs: number;
  readonly logLevel: LogLevel;
}

/** The files of a checkpoint and how to hold them. Plain data. */
export interface RankRegisterRequest {
  readonly name: string;
  /** A folder, a file, or a list of files. */
  readonly files: string | readonly string[];
  /** `all`: this rank alone takes all tensors of the files. @default all ranks share them by bytes */
  readonly share?: 'all' | undefined;
  readonly keepFiles: boolean;
  /** Whether to read the files during the update instead of before it. */
  readonly stream: boolean;
  /** `background`: an update may run while the files are read into host memory. @default 'now' */
  readonly load?: 'now' | 'background' | undefined;
  /** Whether to digest the bytes, so that updates can be verified. @default true */
  readonly digests?: boolean | undefined;
  /** Maximum host memory per rank while streaming. */
  readonly hostMemoryBytes?: number | undefined;
  /** Version of the weights. @default from the bytes */
  readonly weightVersion?: string | undefined;
  /** All files must be below these folders, with symbolic links resolved. @default anywhere */
  readonly allowedRoots?: readonly string[] | undefined;
}

/**
 * One update of a registered checkpoint. Plain data, equal on all ranks; each rank converts it to {@link
 * UpdateOptions}.
 */
export interface RankUpdateRequest
  extends Pick<
    UpdateOptions,
    | 'ranks'
    | 'bucketBytes'
    | 'deviceMemoryBytes'
    | 'method'
    | 'verify'
    | 'releaseCommunicators'
    | 'keepFiles'
    | 'weightVersion'
  > {
  readonly name: string;
  readonly targets: EngineTargets;
  readonly timeoutMs: number;
}

/** Metas of a checkpoint that other worlds hold. Plain data. */
export interface LoadMetasRequest {
  /** Metas files. Ranks read from the owners in the first file, and from those in the others if one fails. */
  readonly files: readonly string[];
  /** The name that the checkpoint must have. @default any */
  readonly name?: string | undefined;
}

/** The complete work of the commands `update` and `join`: a checkpoint's source and the updates from it. */
export interface DeliveryRequest {
  /** Source of the weights: files, or the pools of another world. */
  readonly source: { readonly register: RankRegisterRequest } | { readonly load: LoadMetasRequest };
  /** Run one after another. They have no name, because the name in loaded metas is not known before. */
  readonly updates: readonly Omit<RankUpdateRequest, 'name'>[];
  /** The file to which rank 0 writes the metas of all ranks. */
  readonly metasFile?: string | undefined;
}
