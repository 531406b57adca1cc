import type {
  Needs,
  NeedsSummary,
  Places,
  PullIntent,
  PullRegion,
  WorkerProved,
  WorkerPulled,
} from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import type { SessionCallOptions } from './session-call-options.ts';

/** What a worker is asked first. */
export interface SurveyQuestion {
  readonly intent: PullIntent;
  readonly metas: readonly RankMetas[];
  /** Of names, dtypes and shapes: see `tensorListDigest`. */
  readonly metasDigest: string;
  readonly version?: string | undefined;
}

/** What a worker keeps of a checkpoint, checked against its tensors. */
export interface SurveyAnswer {
  readonly needs: Needs;
  /** Equal for equal needs. */
  readonly needsDigest: string;
  readonly summary: NeedsSummary | undefined;
  /** What is pulled was compared with what the engine's loader makes of it. */
  readonly proved: boolean;
  readonly fingerprint: string;
  /** It compares what comes in parts. */
  readonly provesParts: boolean;
  /** Version of the checkpoint that its parameters hold. */
  readonly holds: string | undefined;
}

/** Memory that a worker maps, and what is in it. */
export interface PullLayout {
  readonly digest: string;
  readonly regions: readonly PullRegion[];
  readonly places: Places;
}

/** A worker that keeps regions mapped between updates, until either side hangs up. */
export interface RegionHold {
  /** Resolves when the worker has hung up, or died. */
  readonly closed: Promise<void>;
  /** Has the worker unmap the regions. Resolves when it has hung up, or soon. Idempotent. */
  end(): Promise<void>;
}

/** The part of a session with a worker that copies what it keeps out of shared memory. */
export interface PullChannel {
  /**
   * Waits for the worker and asks it what it keeps. Called before anything else.
   *
   * @returns Nothing where the worker takes buckets only.
   * @throws As `WorkerSession.open`.
   */
  survey(question: SurveyQuestion, options: SessionCallOptions): Promise<SurveyAnswer | undefined>;
  /** Has the worker map regions. @throws As `WorkerSession.open`. */
  map(layout: PullLayout, options: SessionCallOptions): Promise<void>;
  /** Has the worker copy what is there: all of the layout, or these places. @throws As `WorkerSession.open`. */
  pull(places: Places | undefined, options: SessionCallOptions): Promise<WorkerPulled>;
  /**
   * Has the worker compare what it holds with the layout, or with these places.
   *
   * @param more Other parts follow.
   * @throws As `WorkerSession.open`.
   */
  prove(places: Places | undefined, more: boolean, options: SessionCallOptions): Promise<WorkerProved>;
  /** Ends the session. @returns The connection that keeps the regions mapped, where they are to stay. */
  bye(keep: boolean): RegionHold | undefined;
}
