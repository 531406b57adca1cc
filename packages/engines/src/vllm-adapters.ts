import { UNKNOWN_VERSION } from '@checkpoint-engine/interface';
import type { EngineAdapter, EngineStep } from './adapter.ts';
import type { EngineUpdate } from './engine-client.ts';
import { type NewVersion, newVersion, withVersion } from './new-version.ts';
import { countOf, parseFields } from './replies.ts';

/** The requests around an update. */
export interface VllmLoading {
  readonly flushCache: boolean;
  readonly pause: 'off' | 'abort' | 'wait' | 'keep';
  /** Whether the draft model receives the same weights, in a second pass of the backend. */
  readonly loadsDraft?: boolean | undefined;
  /** Whether vLLM keeps outputs of a multimodal model's encoder between requests. */
  readonly cachesEncoder?: boolean | undefined;
}

/** The worker extension of the Python tool. */
export function vllmV1(loading: VllmLoading): EngineAdapter {
  const { queries = [], ...shared } = common(loading, { isQueued: true });
  return {
    ...shared,
    workers: 'v1',
    queries: [
      ...queries,
      // `is_sleeping` remains true after a wake-up of the weights alone. The receivers check the memory themselves.
      { paths: ['/is_sleeping'], isOptional: true, read: ({ is_sleeping }) => ({ maySleep: is_sleeping === true }) },
    ],
    cautionOf: ({ address, maySleep }) =>
      maySleep
        ? `vLLM at ${address} sleeps: an update crashes it if its weights have no memory; wake them first with POST /wake_up?tags=weights`
        : undefined,
    update: {
      path: '/collective_rpc',
      body: ({ handles, timeoutMs }) => ({
        method: 'update_weights_from_ipc',
        args: [handles],
        timeout: timeoutMs / 1000,
      }),
      failureIn: somethingReturned,
    },
    hints: {
      missing: 'Start vLLM with VLLM_SERVER_DEV_MODE=1: without it the route does not exist',
      failed:
        "Read detail, which has the answer, and vLLM's log; vLLM must run with --worker-extension-cls checkpoint_engine.worker.VllmColocateWorkerExtension",
      slow: "Check vLLM's log; a worker that hangs never times out, so restart vLLM if one hangs",
    },
  };
}

/** The worker extension of `checkpoint-engine-worker`. */
export function vllmExtension(loading: VllmLoading): EngineAdapter {
  return {
    ...common(loading, { isQueued: true }),
    workers: 'v2',
    update: {
      path: '/collective_rpc',
      body: ({ handles, timeoutMs }) => ({
        method: 'checkpoint_engine_update',
        args: [handles, timeoutMs / 1000],
        timeout: timeoutMs / 1000,
      }),
      failureIn: somethingReturned,
    },
    hints: VLLM_HINTS,
    afterFailure: UNKNOWN,
  };
}

/** The weight-transfer backend of `checkpoint-engine-worker`. */
export function vllmBackend(loading: VllmLoading): EngineAdapter {
  const { before, after, ...shared } = common(loading);
  const receive = ({ handles, timeoutMs }: EngineUpdate) => ({
    update_info: { handles, timeout_s: timeoutMs / 1000 },
  });
  return {
    ...shared,
    workers: 'v2',
    passes: loading.loadsDraft ? 'any' : 'one',
    before: (reports, update) => [
      ...(before?.(reports, update) ?? []),
      INIT_BACKEND,
      // If this parameter server dies, vLLM must not continue to report the earlier version.
      ...(newVersion(update) === undefined ? [] : [versionStep(UNKNOWN_VERSION)]),
      start('/start_weight_update'),
    ],
    update: { path: '/update_weights', body: receive, failureIn: () => undefined },
    after: (reports, update) => [
      { path: '/finish_weight_update', body: finishBody(update), isNeeded: true },
      ...(loading.loadsDraft && update.changesWeights !== false
        ? [
            { ...start('/start_draft_weight_update'), isNeeded: true },
            { path: '/update_weights', body: receive(update), isNeeded: true },
            { path: '/finish_weight_update', body: finishBody(update), isNeeded: true },
          ]
        : []),
      ...(after?.(reports, update) ?? []),
    ],
    hints: VLLM_HINTS,
    afterFailure: UNKNOWN,
  };
}

/** Checks the protocol of the workers of the backend, and that their weights have memory. Changes nothing. */
export const INIT_BACKEND = {
  path: '/init_weight_transfer_engine',
  body: { init_info: { checkpoint_engine_protocol: 2 } },
} as const;

/** Hints for requests to vLLM with a receiver of this project. */
export const VLLM_HINTS = {
  missing: 'Start vLLM with VLLM_SERVER_DEV_MODE=1: without it the route does not exist',
  failed: "Read detail, which has the answer, and vLLM's log",
  slow: "Check vLLM's log for what its workers wait for; raise the time-out if it is only slow",
};

const UNKNOWN = "vLLM's weights are unknown: some layers may be new and others old until an update succeeds";

/** @param engine `isQueued`: the update is one request, and the engine queues later requests behind it. */
function common(
  { flushCache, pause, cachesEncoder = false }: VllmLoading,
  { isQueued }: Pick<EngineStep, 'isQueued'> = {},
): Pick<EngineAdapter, 'name' | 'readyPath' | 'queries' | 'before' | 'after' | 'forgetVersion'> {
  return {
    name: 'vllm',
    readyPath: '/health',
    queries: [
      {
        paths: ['/get_world_size?include_dp=true'],
        isOptional: true,
        read: ({ world_size }) => ({ workerCount: countOf(world_size) }),
      },
      {
        paths: ['/get_world_size?include_dp=false'],
        isOptional: true,
        read: ({ world_size }) => ({ replicaSize: countOf(world_size) }),
      },
    ],
    // `keep` freezes requests together with their key-value cache, so the cache must stay.
    ...(pause === 'off'
      ? {}
      : { before: () => [{ path: `/pause?mode=${pause}&clear_cache=${String(flushCache && pause !== 'keep')}` }] }),
    after: (_, update) => [
      ...(flushCache ? [{ ...RESET_PREFIX_CACHE, isQueued }] : []),
      ...(flushCache && cachesEncoder ? [{ ...RESET_ENCODER_CACHE, isQueued }] : []),
      ...stepsOf(newVersion(update)),
      ...(pause === 'off' ? [] : [{ path: '/resume', isNeeded: true }]),
    ],
    forgetVersion: versionStep(UNKNOWN_VERSION),
  };
}

function stepsOf(version: NewVersion | undefined): EngineStep[] {
  return version === undefined ? [] : [versionStep(version)];
}

function versionStep(version: NewVersion): EngineStep {
  return {
    path: '/update_weight_version',
    body: withVersion(version, (settled) => ({ new_version: settled })),
    otherwise: 'This release of vLLM keeps no weight version',
  };
}

const RESET_PREFIX_CACHE: EngineStep = {
  path: '/reset_prefix_cache',
  otherwise: 'vLLM has no route to flush its prefix cache: prefixes of the old weights stay',
  complaintIn: keptPrefixes,
  hint: 'Cached prefixes of the old weights may be used: reset them with POST /reset_prefix_cache',
};

const RESET_ENCODER_CACHE: EngineStep = {
  path: '/reset_encoder_cache',
  otherwise: "vLLM has no route to flush its encoder cache: outputs of the old weights' encoder stay",
  hint: 'Images and sounds of earlier requests may be encoded by the old weights: use POST /reset_encoder_cache',
};

/** A parameter server that died between the requests leaves an update open, and vLLM refuses to start another one. */
function start(path: string): EngineStep {
  return {
    path,
    recover: (error) => (isAlreadyActive(error) ? { path: '/finish_weight_update', body: {} } : undefined),
  };
}

function isAlreadyActive(error: unknown): boolean {
  const { detail, message } = error as { readonly detail?: unknown; readonly message?: unknown };
  return /already\s+active/.test(`${String(detail)} ${String(message)}`);
}

function finishBody(update: EngineUpdate): object | Promise<object> {
  const version = newVersion(update);
  return version === undefined ? {} : withVersion(version, (settled) => ({ weight_version: settled }));
}

/** The method returns nothing: the answer is empty, or has one null per worker (behind Ray Serve, per replica). */
function somethingReturned(text: string): string | undefined {
  if (text.trim() === '') return undefined;
  const { results } = parseFields(text);
  if (Array.isArray(results) && results.every(isNothing)) return undefined;
  return `the workers returned something: ${text.slice(0, 200)}`;
}

function isNothing(result: unknown): boolean {
  if (typeof result !== 'object' || result === null) return result === null;
  const { worker_results: workers } = result as { worker_results?: unknown };
  return Array.isArray(workers) && workers.every((worker) => worker === null);
}

function keptPrefixes(text: string): string | undefined {
  if (parseFields(text).success !== false) return undefined;
  return 'vLLM keeps cached prefixes of the old weights while requests use them: pause it during updates';
}
