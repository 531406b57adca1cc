import type { Logger } from '@checkpoint-engine/interface';
import type { EngineDescription } from './engine-description.ts';

/** The address of an engine. */
export interface EngineEndpoint {
  /** `http://host:port`, with a path prefix if a proxy needs one. */
  readonly url: string;
  /** Unix socket to connect to instead of the URL's host and port. */
  readonly uds?: string | undefined;
}

/** Options of every engine client. */
export interface EngineOptions {
  /**
   * The addresses of one instance: one, or those of all its data-parallel servers, which get requests at the same time.
   */
  readonly endpoints: readonly EngineEndpoint[];
  /** Sent as `Authorization: Bearer`. */
  readonly apiKey?: string | undefined;
  /** Path of the update request. @default the engine's own */
  readonly updatePath?: string | undefined;
  readonly logger?: Logger | undefined;
}

/** The bounds of a wait for an engine. */
export interface EngineWait {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

/** Receives the descriptions of an engine's workers, if the engine has no route to query them. */
export interface ReportInbox {
  /** The address, with its key. Only workers of this host reach it. */
  readonly address: string;
  /** The descriptions so far. A worker sends its description before the engine answers the request for it. */
  readonly reports: readonly unknown[];
}

/** Options of {@link EngineClient.describe}. */
export interface DescribeOptions extends EngineWait {
  /** `openReportInbox` of `@checkpoint-engine/ps` opens one. @default only engines with a route can be asked */
  readonly inbox?: ReportInbox | undefined;
}

/** A request to an engine. */
export interface EngineUpdate extends EngineWait {
  /** Device UUID to worker address, for the devices of this instance only. */
  readonly handles: Readonly<Record<string, string>>;
  /** For engines that keep a version (SGLang, newer releases of vLLM), if it is known before the update. */
  readonly weightVersion?: string | undefined;
  /**
   * The same version, for a version that is derived from bytes which are read during the update. Resolves when all
   * workers hold the weights. Never rejects, and never settles if the update fails.
   */
  readonly settledVersion?: Promise<string> | undefined;
  /**
   * Resolves when a worker holds the weights and the engine is about to answer: requests that the engine takes in their
   * turn are sent then, so that no other request runs in between.
   */
  readonly loaded?: Promise<void> | undefined;
  /** Whether the request changes weights. If not, the workers only report what they hold or need. @default true */
  readonly changesWeights?: boolean | undefined;
}

/** How the workers of an engine communicate in an update. */
export interface WorkerChoice {
  /** `v1` is the Python tool's protocol, `v2` that of `@checkpoint-engine/worker` and `checkpoint-engine-worker`. */
  readonly workers: 'v1' | 'v2';
  /** Whether the workers may load more than once in one update. */
  readonly passes: 'one' | 'any';
  /** Whether the request for an update can also ask the workers to prepare for updates. @default false */
  readonly canPrepare?: boolean | undefined;
}

/**
 * The client of an inference engine that receives weights. One client is for one inference instance.
 *
 * No request is repeated: any failure of a request for an update is reported at once.
 */
export interface EngineClient {
  readonly name: string;
  /** The protocol of its workers: `v1Protocol` or `v2Protocol`. @default 'v1' */
  readonly workers?: 'v1' | 'v2' | undefined;
  /** Whether its workers may load more than once in one update: the value for `passes` of the update. @default 'one' */
  readonly passes?: 'one' | 'any' | undefined;
  /**
   * Resolves when the engine answers. Repeats its query with growing pauses.
   *
   * @throws `CE_ENGINE_UNREACHABLE` after the time-out, or at once if waiting does not help; `CE_ENGINE_FAILED` if the
   * engine rejects the API key.
   */
  ready(options: EngineWait): Promise<void>;
  /**
   * Detects the protocol of the engine's workers, if both are possible. Changes nothing. Absent if `workers` has the
   * answer.
   *
   * @throws `CE_ENGINE_UNREACHABLE`, `CE_ENGINE_FAILED` if the engine rejects the API key.
   */
  choose?(options: EngineWait): Promise<WorkerChoice>;
  /**
   * Queries what the engine's workers hold and how they receive each module. Changes nothing. Absent if an engine
   * cannot report it.
   *
   * @throws `CE_ENGINE_UNREACHABLE`, `CE_TIMEOUT`, `CE_ENGINE_FAILED` if it refuses the API key.
   */
  describe?(options: DescribeOptions): Promise<EngineDescription>;
  /**
   * Starts the queries of the next pre-flight, so that the answers arrive while the ranks prepare. Never throws: the
   * pre-flight repeats a query that failed.
   */
  prefetch?(options: EngineWait): void;
  /**
   * Checks that the engine can receive this update, before any data moves. Changes nothing.
   *
   * @throws `CE_ENGINE_MISMATCH` if the engine has other devices, `CE_ENGINE_FAILED` if it reports that it cannot
   * receive.
   */
  preflight?(options: EngineUpdate): Promise<void>;
  /**
   * Requests the update and resolves when the engine reports success. Call it while the workers are served: the engine
   * answers only after that.
   *
   * @throws `CE_ENGINE_FAILED` with HTTP status and text, `CE_ENGINE_UNREACHABLE`, `CE_ENGINE_MISMATCH`, `CE_TIMEOUT`.
   */
  update(options: EngineUpdate): Promise<void>;
  /**
   * Tells an engine that keeps a weight version that its weights are unknown, after an update that failed before its
   * end. Takes 3 s at most, and never rejects: failures are logged. Absent where engines of this kind keep no version.
   */
  forgetVersion?(): Promise<void>;
}
