import type { ProgressEvent, UpdateOptions, UpdateResult } from '@checkpoint-engine/ps';
import type { RankIdentity } from '../world/open-rank.ts';

/** What the parent passes as the only argument, in JSON. */
export type MeasuredRankTask = RankIdentity;

/** The options of an update that travel to rank processes. */
export type UpdateVariant = Pick<UpdateOptions, 'ranks' | 'bucketBytes' | 'deviceMemoryBytes' | 'releaseCommunicators'>;

/** What to bring in, and how. */
export interface UpdateCall {
  readonly checkpoint: string;
  readonly variant: UpdateVariant;
  /** Ask the driver for used memory every few milliseconds. That takes time of its own. @default false */
  readonly watchMemory?: boolean;
}

/** One update, as a rank saw it. */
export interface MeasuredUpdate {
  readonly updateMs: number;
  readonly result: UpdateResult;
  readonly events: readonly ProgressEvent[];
  /** Device memory in use before, and most of it during the update, on the whole GPU. Only where it was watched. */
  readonly usedBeforeBytes?: number | undefined;
  readonly usedPeakBytes?: number | undefined;
}

/** What a rank took to be there. Milliseconds. */
export interface RankStart {
  /** When its process was made, since the epoch. */
  readonly bornAtMs: number;
  /** From there until its own code ran: Node itself, and the imports. */
  readonly importsMs: number;
  /** The device: the driver's library, the GPU's context. */
  readonly deviceMs: number;
  /** Joining the world. */
  readonly joinMs: number;
}

/** What a measured rank does when it is told to. */
export interface MeasuredRankCalls {
  started(args: null): Promise<RankStart>;
  register(args: { readonly checkpoint: string; readonly files: readonly string[] }): Promise<{
    readonly durationMs: number;
    readonly poolBytes: number;
    readonly sizeBytes: number;
  }>;
  unregister(args: { readonly checkpoint: string }): Promise<void>;
  /** Gives the milliseconds. */
  gather(args: { readonly checkpoint: string }): Promise<number>;
  update(args: UpdateCall): Promise<MeasuredUpdate>;
  peakRssBytes(args: null): Promise<number>;
}
