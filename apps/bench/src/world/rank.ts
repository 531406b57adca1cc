import type { ProgressEvent, UpdateOptions, UpdateResult } from '@checkpoint-engine/ps';
import type { LoopPauses } from '../report/loop-watch.ts';
import type { RankIdentity } from './open-rank.ts';

/** The only argument from the parent, as JSON. */
export type RankTask = RankIdentity;

/** The options of an update that are sent to rank processes. */
export type UpdateVariant = Pick<UpdateOptions, 'ranks' | 'bucketBytes' | 'deviceMemoryBytes' | 'releaseCommunicators'>;

/** A checkpoint's name, and the files to register under it. */
export interface RegisterCall {
  readonly checkpoint: string;
  readonly files: readonly string[];
  /** Reads the files during updates, into at most this much host memory. @default the files are read into a pool */
  readonly stream?: { readonly hostMemoryBytes?: number | undefined } | undefined;
  /** Whether to register without waiting for the other ranks. @default false */
  readonly isAlone?: boolean | undefined;
}

/** One update. */
export interface UpdateCall {
  readonly checkpoint: string;
  readonly variant: UpdateVariant;
  /** Whether to query the driver for used memory every few milliseconds, which slows the update down. @default false */
  readonly watchMemory?: boolean;
  /** Number of the broadcast during which this process kills itself with SIGKILL. */
  readonly dieAtBroadcast?: number;
}

/** One update, as observed by a rank. */
export interface RankUpdate {
  readonly updateMs: number;
  /** Time that the JavaScript thread spent on a core. */
  readonly busyMs: number;
  readonly result: UpdateResult;
  readonly events: readonly ProgressEvent[];
  /** Memory in use on the whole GPU before the update and at its peak. Present only if `watchMemory` is set. */
  readonly usedBeforeBytes?: number | undefined;
  readonly usedPeakBytes?: number | undefined;
}

/** The times of a rank's start, in milliseconds. */
export interface RankStart {
  /** When its process was created, since the epoch. */
  readonly startedAtMs: number;
  /** From then until its own code runs: the start of Node.js and the imports. */
  readonly importsMs: number;
  /** The creation of the device: the driver's library and the GPU's context. */
  readonly deviceMs: number;
  /** The time to join the world. */
  readonly joinMs: number;
}

/** Resources of a rank's process. */
export interface RankUsage {
  /** Pauses of its event loop since the last call, while it was watched. */
  readonly pauses: LoopPauses;
  readonly openFiles: number;
  readonly residentBytes: number;
  readonly peakResidentBytes: number;
  /** Memory in use on its device, by any process. */
  readonly deviceUsedBytes: number;
}

/** The calls that a rank serves. */
export interface RankCalls {
  started(args: null): Promise<RankStart>;
  register(args: RegisterCall): Promise<{
    readonly durationMs: number;
    readonly poolBytes: number;
    readonly sizeBytes: number;
  }>;
  unregister(args: { readonly checkpoint: string }): Promise<void>;
  /** Resolves with the duration, and the metas of the world in base64. */
  gather(args: { readonly checkpoint: string }): Promise<{ readonly durationMs: number; readonly metas: string }>;
  /** Loads the metas of another world. */
  load(args: { readonly metas: string }): Promise<void>;
  update(args: UpdateCall): Promise<RankUpdate>;
  /** Starts or stops watching the event loop. */
  watch(args: { readonly isOn: boolean }): Promise<void>;
  usage(args: null): Promise<RankUsage>;
}
