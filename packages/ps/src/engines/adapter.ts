import type { EngineUpdate } from './engine-client.ts';
import type { EngineReport } from './engine-report.ts';
import type { HttpReply } from './http-request.ts';

/**
 * All that tells one engine from another, as data. `httpEngine` does the work: readiness, pre-flight, life cycle,
 * deadlines, errors. The servers of an instance are always asked at the same time.
 */
export interface EngineAdapter {
  readonly name: string;
  /** The worker protocol that its workers speak: `v1` is the Python tool's, `v2` that of `@checkpoint-engine/worker`. */
  readonly workers: 'v1' | 'v2';
  /** Whether its workers may load more than once through the same addresses in one update. @default 'one' */
  readonly passes?: 'one' | 'any' | undefined;
  /** Answers a GET with a status of 200 to 299 once the engine can be asked. */
  readonly readyPath: string;
  /** Whether that answer means so although its status is another. @default none does */
  readonly isListening?: ((reply: HttpReply) => boolean) | undefined;
  /** What the engine tells of itself. Looked at before bytes move, and again after `before`. */
  readonly looks?: readonly EngineLook[] | undefined;
  /**
   * The requests that make the engine fit to receive, one after the other. Where there are none, it has to be ready as
   * it is.
   *
   * @param reports By endpoint.
   */
  readonly before?: ((reports: readonly EngineReport[], update: EngineUpdate) => readonly EngineStep[]) | undefined;
  /** The request that receives; it is answered when the weights are in. */
  readonly update: {
    /** Also the path of looks that name none. */
    readonly path: string;
    /** JSON body. `update.handles` are those of the server's own devices where it told them. */
    body(update: EngineUpdate): object;
    /** What went wrong according to an answer of status 200 to 299; `undefined` when all is well. */
    failureIn(text: string): string | undefined;
  };
  /** What may go wrong with an engine that says this of itself: logged before bytes move. */
  cautionOf?(report: EngineReport): string | undefined;
  /**
   * The requests that follow an update that went through. `reports` are those from before it. The weights are in: one that
   * fails is a warning, unless the engine needs it.
   */
  readonly after?: ((reports: readonly EngineReport[], update: EngineUpdate) => readonly EngineStep[]) | undefined;
  /** What to do when ... */
  readonly hints: {
    /** ... there is no such route (404, 405, 501). */
    readonly missing: string;
    /** ... the engine answers with another error. */
    readonly failed: string;
    /** ... it does not answer in time. */
    readonly slow: string;
    /** ... it says that it cannot receive. @default `failed` */
    readonly notReady?: string | undefined;
  };
  /** The state that a failed update leaves the engine in, and what to do about it: logged, whoever failed. */
  readonly afterFailure?: string | undefined;
}

/** A GET whose answer says something about the engine. */
export interface EngineLook {
  /** Tried in turn until one exists. @default that of the update */
  readonly paths?: readonly string[] | undefined;
  /** Whether the update goes on where the engine has no such route or does not answer it properly. @default false */
  readonly isOptional?: boolean | undefined;
  /** Reads the JSON of the answer. What is not in it, or is of an unexpected type, stays out of the report. */
  read(fields: Readonly<Record<string, unknown>>): Partial<EngineReport>;
}

/** A POST that changes the engine's state. */
export interface EngineStep {
  /** With its query. */
  readonly path: string;
  /** JSON body. @default none */
  readonly body?: object | undefined;
  /** Without it the engine does not serve: after an update its failure is one, though the weights are in. @default false */
  readonly isNeeded?: boolean | undefined;
  /** What is missed where the engine has no such route: logged then, and the update goes on. @default it fails */
  readonly otherwise?: string | undefined;
  /** What to do when it fails. @default that of the engine's failures */
  readonly hint?: string | undefined;
  /** Ends what an earlier update left behind, where the failure shows that it did; the step is then taken once more. */
  recover?(error: unknown): EngineStep | undefined;
  /** What the engine complains about in an answer of status 200 to 299: logged. */
  complaintIn?(text: string): string | undefined;
}
