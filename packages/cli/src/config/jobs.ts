import type { EngineName } from '@checkpoint-engine/ps/engines';
import type { LogLevel } from '../output/log.ts';
import type { MemoryLimits } from './environment.ts';

/** Kinds of devices that ranks run on. */
export type DeviceKind = 'cuda' | 'host';

/** The engines that receive: one URL or socket for all inference groups, or one for each. */
export interface EngineTargets {
  readonly engine: EngineName;
  readonly endpoints: readonly string[];
  /** Unix sockets that are spoken to instead of the endpoints' hosts. */
  readonly uds: readonly string[];
  /** Ranks that an engine spans. */
  readonly parallelSize: number;
  /** Path of the update request. @default the engine's own */
  readonly updatePath?: string | undefined;
}

/** What all ranks of a world have in common. Plain data: it travels to rank processes. */
export interface WorldJob extends MemoryLimits {
  readonly deviceKind: DeviceKind;
  /**
   * `update`: rank 0 hosts the store, and the first failure ends the world. `server`: the supervisor hosts the store,
   * the world outlives failures, and it is the supervisor alone who says when it ends.
   */
  readonly lifetime: 'update' | 'server';
  /** Bounds joining the world. */
  readonly timeoutMs: number;
  readonly logLevel: LogLevel;
}

/** A checkpoint's files and how they are held. Plain data. */
export interface RegisterJob {
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

/** One update of a registered checkpoint. Plain data, equal on all ranks. */
export interface UpdateJob {
  readonly name: string;
  readonly targets: EngineTargets;
  /** Ranks whose engines receive; the others are read from. @default all */
  readonly ranks?: readonly number[] | undefined;
  readonly bucketBytes?: number | undefined;
  readonly deviceMemoryBytes?: number | undefined;
  readonly stages?: 2 | 3 | 'auto' | undefined;
  readonly releaseCommunicators?: boolean | undefined;
  readonly timeoutMs: number;
  readonly weightVersion?: string | undefined;
}

/** The whole way of one checkpoint into the engines: what the command `update` does. */
export interface DeliveryJob {
  readonly register: RegisterJob;
  readonly update: UpdateJob;
  /** Where rank 0 writes the metas of all ranks. */
  readonly metasFile?: string | undefined;
}
