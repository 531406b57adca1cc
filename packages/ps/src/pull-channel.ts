import type {
  Needs,
  NeedsSummary,
  Places,
  PullIntent,
  PullRegion,
  Windows,
  WorkerProved,
  WorkerPulled,
} from '@checkpoint-engine/interface';
import type { ParameterMeta } from '@checkpoint-engine/meta';
import type { SessionCallOptions } from './session-call-options.ts';

/** The first query to a worker. */
export interface SurveyQuestion {
  readonly intent: PullIntent;
  /** In the order of their indexes. */
  readonly tensors: readonly ParameterMeta[];
  /** Digest of names, dtypes and shapes: see `tensorsByName`. */
  readonly metasDigest: string;
  readonly version?: string | undefined;
}

/** The parts of a checkpoint that a worker keeps, checked against its tensors. */
export interface SurveyAnswer {
  readonly needs: Needs;
  /** Equal for equal needs. */
  readonly needsDigest: string;
  readonly summary: NeedsSummary | undefined;
  /** Whether the pulled data was compared with the result of the engine's loader. */
  readonly proved: boolean;
  readonly fingerprint: string;
  /** Whether the worker can compare data that arrives in parts. */
  readonly provesParts: boolean;
  /** Whether the worker reports digests of its data. */
  readonly digests: boolean;
  /** Version of the checkpoint that its parameters hold. */
  readonly holds: string | undefined;
}

/** By window, the digest of the worker's bytes in it, and their number. */
export interface HeldDigests {
  readonly digests: BigUint64Array;
  readonly bytes: Float64Array;
}

/** Memory that a worker maps, and its contents. */
export interface PullLayout {
  readonly digest: string;
  readonly regions: readonly PullRegion[];
  readonly places: Places;
}

/** A worker that keeps regions mapped between updates, until either side disconnects. */
export interface RegionHold {
  /** Resolves when the worker has disconnected or died. */
  readonly closed: Promise<void>;
  /** Makes the worker unmap the regions. Resolves when it has disconnected, or soon after. Idempotent. */
  end(): Promise<void>;
}

/** The part of a session with a worker that copies what it keeps from shared memory. */
export interface PullChannel {
  /**
   * Waits for the worker and asks what it keeps. Called before anything else.
   *
   * @returns `undefined` if the worker receives buckets only.
   * @throws The errors of `WorkerSession.open`.
   */
  survey(question: SurveyQuestion, options: SessionCallOptions): Promise<SurveyAnswer | undefined>;
  /** Makes the worker map regions. @throws The errors of `WorkerSession.open`. */
  map(layout: PullLayout, options: SessionCallOptions): Promise<void>;
  /** Makes the worker copy the complete layout, or these places. @throws The errors of `WorkerSession.open`. */
  pull(places: Places | undefined, options: SessionCallOptions): Promise<WorkerPulled>;
  /**
   * Makes the worker compare its data with the layout, or with these places.
   *
   * @param more Other parts follow.
   * @throws The errors of `WorkerSession.open`.
   */
  prove(places: Places | undefined, more: boolean, options: SessionCallOptions): Promise<WorkerProved>;
  /**
   * Requests the digests of the worker's data in windows, in order. Only if the survey's answer has `digests`.
   *
   * @throws As `WorkerSession.open`.
   */
  digest(windows: Windows, options: SessionCallOptions): Promise<HeldDigests>;
  /** Ends the session. @returns The connection that keeps the regions mapped, if they are to stay. */
  bye(keep: boolean): RegionHold | undefined;
}
