import type { NeedsColumns, NeedsSummary, PartOf } from './pull-values.ts';
import type { ServerReport } from './server-pull-messages.ts';

/** The worker's knowledge of the checkpoint. */
export interface WorkerSurveyed {
  readonly type: 'surveyed';
  /** The server need not send the metas. */
  readonly known: boolean;
  /** The worker has compared the pulled bytes with the result of the engine's loader. */
  readonly proved: boolean;
  /** Identifies engine, model and placement: while it is equal, needs are equal. */
  readonly fingerprint: string;
  /** The live parameters hold a checkpoint of this version: a session that prepares may prove. */
  readonly holds?: string | undefined;
}

/** The parts that the worker keeps. `rest` and `summary` are in the last part, and empty or absent in others. */
export interface WorkerNeeds extends PartOf, NeedsColumns {
  readonly type: 'needs';
  readonly summary?: NeedsSummary | undefined;
}

/** The regions are mapped, and page-locked if the device requires it. */
export interface WorkerMapped {
  readonly type: 'mapped';
  /** The worker does not know the layout: the server must send its regions again, with places. */
  readonly needPlaces: boolean;
}

/** The parameters hold the bytes of one pull: the server may overwrite their places. */
export interface WorkerPulled {
  readonly type: 'pulled';
  readonly index: number;
  /** Bytes that were copied. */
  readonly bytes: number;
  readonly durationMs: number;
}

/** Result of the comparison. */
export interface WorkerProved {
  readonly type: 'proved';
  /** Needs of the next session include the proved tensors. */
  readonly proved: boolean;
  readonly summary: NeedsSummary;
}

/** Answer to {@link ServerReport}. */
export interface WorkerReported {
  readonly type: 'reported';
  /** The worker knows which bytes it keeps. */
  readonly recorded: boolean;
  /** Parts of the model are pulled. */
  readonly proved: boolean;
  /** State of the weights before this session. */
  readonly weights: 'initial' | 'loaded' | 'updating' | 'unknown';
  /** The checkpoint that is loaded, and the update that loaded it. */
  readonly checkpoint?: string | undefined;
  readonly updateId?: string | undefined;
  /**
   * One line about the engine: its release, the model, the worker's place in it. May be empty; absent while the engine
   * sleeps.
   */
  readonly engine?: string | undefined;
  /** The worker can pull. @default true */
  readonly pulls?: boolean | undefined;
  /** Version of its weights, as in the hello, and the package that it runs. */
  readonly weightVersion?: string | undefined;
  readonly package?: string | undefined;
  readonly version?: string | undefined;
  /** Parts of the engine that have no memory now: its sleep mode has taken it. */
  readonly asleep?: readonly string[] | undefined;
  readonly fingerprint?: string | undefined;
  /** Absent while nothing is recorded. */
  readonly summary?: NeedsSummary | undefined;
}

/** Digests by window, in columns of u64. If the needs contain a box several times, its bytes count several times. */
export interface WorkerDigested {
  readonly type: 'digested';
  readonly index: number;
  /** Sum modulo 2^64 of the digests (`digestBytes`) of the bytes that the worker holds unchanged. */
  readonly digest: Uint8Array;
  /** Number of those bytes: fewer than the needs have if the engine holds some in another form. */
  readonly bytes: Uint8Array;
}

/** Answer to an abort: no copy reads a region any longer. */
export interface WorkerAborted {
  readonly type: 'aborted';
}

/** Messages of a worker with the pull extension, in addition to those of buckets. */
export type WorkerPullMessage =
  | WorkerSurveyed
  | WorkerNeeds
  | WorkerMapped
  | WorkerPulled
  | WorkerProved
  | WorkerReported
  | WorkerDigested
  | WorkerAborted;
