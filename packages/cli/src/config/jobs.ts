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
}

/** What all ranks of a world have in common. Plain data: it travels to rank processes. */
export interface WorldJob extends MemoryLimits {
  readonly deviceKind: DeviceKind;
  readonly targets: EngineTargets;
  /** Bounds joining the world. */
  readonly timeoutMs: number;
  readonly logLevel: LogLevel;
}

/** One update of a world. Plain data. */
export interface UpdateJob {
  readonly checkpointName: string;
  readonly checkpointPath: string;
  readonly keepFiles: boolean;
  /** Read the files during the update instead of before it. */
  readonly stream: boolean;
  /** Bounds what a rank that streams reads into. */
  readonly hostMemoryBytes?: number | undefined;
  readonly bucketBytes?: number | undefined;
  readonly deviceMemoryBytes?: number | undefined;
  readonly stages?: 2 | 3 | 'auto' | undefined;
  readonly releaseCommunicators?: boolean | undefined;
  /** For registration and for the update, each. */
  readonly timeoutMs: number;
  readonly weightVersion?: string | undefined;
  /** Where rank 0 writes the metas of all ranks. */
  readonly metasFile?: string | undefined;
}
