import type { UpdateOptions } from '@checkpoint-engine/ps';
import type { EngineName } from '@checkpoint-engine/ps/engines';
import type { LogLevel } from '../output/log-options.ts';
import type { MemoryLimits } from './environment.ts';

/** Kinds of `--engine`. They stand here so that help and wrong arguments need not wait for the engines' clients. */
export const ENGINES = Object.keys({
  vllm: true,
  sglang: true,
  lmdeploy: true,
  worker: true,
} satisfies Record<EngineName, true>) as EngineName[];

/** How the bytes come to workers that can say what they keep. */
export const METHODS = ['auto', 'pull', 'buckets'] as const;
export type Method = (typeof METHODS)[number];

/** Whether workers of an engine may map host memory: LMDeploy's take buckets only. Pools are then held where they can. */
export function canMap(engine: EngineName, method: Method): boolean {
  return engine !== 'lmdeploy' && method !== 'buckets';
}

/** Kinds of devices that ranks run on. */
export type DeviceKind = 'cuda' | 'host';

/** What `--pause` does with requests that run. */
export const PAUSE_MODES = ['off', 'abort', 'wait', 'keep'] as const;
export type PauseMode = (typeof PAUSE_MODES)[number];

/** The engines that receive: one URL or socket for all inference groups, or one for each. */
export interface EngineTargets {
  readonly engine: EngineName;
  readonly endpoints: readonly string[];
  /** Unix sockets that are spoken to instead of the endpoints' hosts. */
  readonly uds: readonly string[];
  /** Ranks that an engine spans. @default all that receive */
  readonly parallelSize?: number | undefined;
  /** Pause generation around updates, where the engine can: see `VllmOptions`. @default 'off' */
  readonly pause?: PauseMode | undefined;
  /** Forget cached prefixes, which belong to the old weights. @default true */
  readonly flushCache?: boolean | undefined;
  /** Path of the update request. @default the engine's own */
  readonly updatePath?: string | undefined;
  /** Named by a client of the server, who is not to learn the API key: it is not sent there. @default false */
  readonly isStranger?: boolean | undefined;
}

/** What P2P reads go over. `auto`: what Mooncake finds, RDMA devices or else TCP. `shm`: memory of this host. */
export const P2P_WAYS = ['auto', 'rdma', 'efa', 'tcp', 'shm'] as const;
export type P2PWay = (typeof P2P_WAYS)[number];

/** How ranks read from each other, and let others read from them. Plain data. */
export interface P2PJob {
  readonly way: P2PWay;
  /** Address of this host by which peers reach it, or the name of an interface that has it. */
  readonly host: string;
  /** Peers have to know `CHECKPOINT_ENGINE_TOKEN`. Not where a supervisor made one up that no other world has. */
  readonly needsToken: boolean;
}

/** What all ranks of a world have in common. Plain data: it travels to rank processes. */
export interface WorldJob extends MemoryLimits {
  readonly deviceKind: DeviceKind;
  /**
   * `update`: rank 0 hosts the store, and the first failure ends the world. `server`: the supervisor hosts the store,
   * the world outlives failures, and it is the supervisor alone who says when it ends.
   */
  readonly lifetime: 'update' | 'server';
  /** Absent where nobody reads from anybody. */
  readonly p2p?: P2PJob | undefined;
  /** Checkpoints are held where workers can map them. @default where peers read them */
  readonly sharePools?: boolean | undefined;
  /** Bounds joining the world. */
  readonly timeoutMs: number;
  readonly logLevel: LogLevel;
}

/** A checkpoint's files and how they are held. Plain data. */
export interface RankRegisterRequest {
  readonly name: string;
  /** A folder, a file, or a list of files. */
  readonly files: string | readonly string[];
  readonly keepFiles: boolean;
  /** Read the files during the update instead of before it. */
  readonly stream: boolean;
  /** `background`: an update may run while they are read into host memory. @default 'now' */
  readonly load?: 'now' | 'background' | undefined;
  /** Bounds what a rank that streams reads into. */
  readonly hostMemoryBytes?: number | undefined;
  /** Folders below which all files have to lie, symbolic links resolved. @default anywhere */
  readonly allowedRoots?: readonly string[] | undefined;
}

/** One update of a registered checkpoint. Plain data, equal on all ranks: each makes {@link UpdateOptions} of it. */
export interface RankUpdateRequest
  extends Pick<
    UpdateOptions,
    'ranks' | 'bucketBytes' | 'deviceMemoryBytes' | 'strategy' | 'releaseCommunicators' | 'keepFiles' | 'weightVersion'
  > {
  readonly name: string;
  readonly targets: EngineTargets;
  readonly timeoutMs: number;
}

/** Metas of a checkpoint that other worlds hold. Plain data. */
export interface LoadJob {
  /** Their files: the first is read from, the others where an owner of it fails. */
  readonly files: readonly string[];
  /** What the checkpoint has to be called. @default whatever it is */
  readonly name?: string | undefined;
}

/** The whole way of one checkpoint into the engines: what the commands `update` and `join` do. */
export interface DeliveryJob {
  /** Where the weights come from: files, or pools of another world. */
  readonly source: { readonly register: RankRegisterRequest } | { readonly load: LoadJob };
  /** One after the other. Of a checkpoint whose metas are loaded the name is not known before. */
  readonly updates: readonly Omit<RankUpdateRequest, 'name'>[];
  /** Where rank 0 writes the metas of all ranks. */
  readonly metasFile?: string | undefined;
}
