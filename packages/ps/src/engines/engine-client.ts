import type { Logger } from '@checkpoint-engine/interface';
import type { EngineDescription } from './engine-description.ts';

/** Where an engine listens. */
export interface EngineEndpoint {
  /** `http://host:port`, with a path in front of the engine's own where a proxy needs one. */
  readonly url: string;
  /** Unix socket to connect to instead of the URL's host and port. */
  readonly uds?: string | undefined;
}

/** What every engine client is made of. */
export interface EngineOptions {
  /** One instance's addresses: one, or those of all its data-parallel servers, which are asked at the same time. */
  readonly endpoints: readonly EngineEndpoint[];
  /** Sent as `Authorization: Bearer`. */
  readonly apiKey?: string | undefined;
  /** Path of the update request. @default the engine's own */
  readonly updatePath?: string | undefined;
  readonly logger?: Logger | undefined;
}

/** When to stop waiting for an engine. */
export interface EngineWait {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

/** What an engine is asked to do. */
export interface EngineUpdate extends EngineWait {
  /** Device UUID to worker address, for the devices of this instance only. */
  readonly handles: Readonly<Record<string, string>>;
  /** Told to engines that keep one (SGLang, newer releases of vLLM). */
  readonly weightVersion?: string | undefined;
}

/** How the workers of an engine are spoken to in an update. */
export interface WorkerChoice {
  /** `v1` is the Python tool's protocol, `v2` that of `@checkpoint-engine/worker` and `checkpoint-engine-worker`. */
  readonly workers: 'v1' | 'v2';
  /** Whether the workers may load more than once in one update. */
  readonly passes: 'one' | 'any';
  /** The workers can be asked to prepare for updates by the same request as for an update. @default false */
  readonly canPrepare?: boolean | undefined;
}

/**
 * Asks an inference engine to receive weights. One client serves one inference instance.
 *
 * Nothing is asked twice: a request for an update that fails in any way is reported at once.
 */
export interface EngineClient {
  readonly name: string;
  /** The protocol that its workers speak: `v1Protocol` or `v2Protocol`. @default 'v1' */
  readonly workers?: 'v1' | 'v2' | undefined;
  /** Whether its workers may load more than once in one update: what `passes` of the update should be. @default 'one' */
  readonly passes?: 'one' | 'any' | undefined;
  /**
   * Resolves when the engine answers; until then it is asked again, less and less often.
   *
   * @throws `CE_ENGINE_UNREACHABLE` after the time-out, or at once where waiting does not help; `CE_ENGINE_FAILED` where it
   * refuses the API key.
   */
  ready(options: EngineWait): Promise<void>;
  /**
   * Finds out which protocol the engine's workers speak, where it can be one or the other. Changes nothing. Absent where
   * `workers` says it.
   *
   * @throws `CE_ENGINE_UNREACHABLE`, `CE_ENGINE_FAILED` where it refuses the API key.
   */
  choose?(options: EngineWait): Promise<WorkerChoice>;
  /**
   * Asks the engine's workers what they hold, and what they decided for their modules. Changes nothing. Absent where an
   * engine has no way to tell.
   *
   * @throws `CE_ENGINE_UNREACHABLE`, `CE_TIMEOUT`, `CE_ENGINE_FAILED` where it refuses the API key.
   */
  describe?(options: EngineWait): Promise<EngineDescription>;
  /**
   * Checks that the engine can take this update, before a byte moves. Changes nothing.
   *
   * @throws `CE_ENGINE_MISMATCH` where it runs on other devices, `CE_ENGINE_FAILED` where it says that it cannot.
   */
  preflight?(options: EngineUpdate): Promise<void>;
  /**
   * Asks for the update and resolves when the engine says that it is done. To be called while the workers are served:
   * the engine answers only afterwards.
   *
   * @throws `CE_ENGINE_FAILED` with HTTP status and text, `CE_ENGINE_UNREACHABLE`, `CE_ENGINE_MISMATCH`, `CE_TIMEOUT`.
   */
  update(options: EngineUpdate): Promise<void>;
}
