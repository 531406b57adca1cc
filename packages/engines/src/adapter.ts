import type { EngineUpdate } from './engine-client.ts';
import type { EngineReport } from './engine-report.ts';
import type { HttpReply } from './http-request.ts';

/**
 * The differences between engines, as data. `httpEngine` does the work: readiness, pre-flight, life cycle, deadlines,
 * errors. Requests go to all servers of an instance at the same time.
 */
export interface EngineAdapter {
  readonly name: string;
  /** The worker protocol: `v1` is the Python tool's, `v2` that of `@checkpoint-engine/worker`. */
  readonly workers: 'v1' | 'v2';
  /** Whether workers may load more than once through the same addresses in one update. @default 'one' */
  readonly passes?: 'one' | 'any' | undefined;
  /** A GET on this path answers with a status of 200 to 299 once the engine accepts requests. */
  readonly readyPath: string;
  /** Whether an answer with another status means the same. @default never */
  readonly isListening?: ((reply: HttpReply) => boolean) | undefined;
  /** Queries of the engine's configuration and state. They run before any data moves, and again after `before`. */
  readonly queries?: readonly EngineQuery[] | undefined;
  /**
   * Requests, in order, that prepare the engine to receive. If there are none, the engine must already be ready.
   *
   * @param reports By endpoint.
   */
  readonly before?: ((reports: readonly EngineReport[], update: EngineUpdate) => readonly EngineStep[]) | undefined;
  /** The request to receive. Its answer comes when the weights are loaded. */
  readonly update: {
    /** Also the path of queries without their own path. */
    readonly path: string;
    /** JSON body. `update.handles` are those of the server's own devices, if the server reported them. */
    body(update: EngineUpdate): object;
    /** The failure in an answer of status 200 to 299, or `undefined`. */
    failureIn(text: string): string | undefined;
  };
  /** A problem that the engine's description suggests. It is logged before any data moves. */
  cautionOf?(report: EngineReport): string | undefined;
  /**
   * Requests after a successful update. `reports` are those from before it. The weights are loaded, so a failure is a
   * warning, unless the engine cannot serve without the request.
   */
  readonly after?: ((reports: readonly EngineReport[], update: EngineUpdate) => readonly EngineStep[]) | undefined;
  /** Hints for each kind of failure. */
  readonly hints: {
    /** The route does not exist (404, 405, 501). */
    readonly missing: string;
    /** The engine answers with another error. */
    readonly failed: string;
    /** The engine does not answer in time. */
    readonly slow: string;
    /** The engine reports that it cannot receive. @default `failed` */
    readonly notReady?: string | undefined;
  };
  /** Tells the engine that its weights are unknown. Absent if engines of this kind keep no version. */
  readonly forgetVersion?: EngineStep | undefined;
  /** The state of the engine after a failed update, and how to recover. It is logged after every failure. */
  readonly afterFailure?: string | undefined;
}

/** A GET whose answer describes the engine. */
export interface EngineQuery {
  /** Paths to try in order until one exists. @default the path of the update */
  readonly paths?: readonly string[] | undefined;
  /** Whether the update continues if the engine lacks the route or gives an unexpected answer. @default false */
  readonly isOptional?: boolean | undefined;
  /** Reads the JSON of the answer. Missing fields, and fields of an unexpected type, are left out of the report. */
  read(fields: Readonly<Record<string, unknown>>): Partial<EngineReport>;
}

/** A POST that changes the engine's state. */
export interface EngineStep {
  /** The path, with its query. */
  readonly path: string;
  /** JSON body; a promise if it has a version that is known at the end of the update. @default none */
  readonly body?: object | Promise<object> | undefined;
  /**
   * The engine cannot serve without it: a failure after an update is an error, although the weights are loaded.
   * @default false
   */
  readonly isNeeded?: boolean | undefined;
  /**
   * The engine queues it behind the update request that is in progress, so it may be sent before that request
   * is answered. @default false
   */
  readonly isQueued?: boolean | undefined;
  /**
   * The feature that is missing if the engine lacks the route. It is logged, and the update continues. @default the
   * update fails
   */
  readonly otherwise?: string | undefined;
  /** The hint for a failure. @default the hint of the engine's failures */
  readonly hint?: string | undefined;
  /** Ends a state that an earlier update left behind, if the failure shows it; then the step is repeated. */
  recover?(error: unknown): EngineStep | undefined;
  /** The warning in an answer of status 200 to 299. It is logged. */
  complaintIn?(text: string): string | undefined;
}
