import type { EngineAdapter } from './adapter.ts';
import type { EngineClient, EngineOptions } from './engine-client.ts';
import { httpEngine } from './http-engine.ts';
import { countOf, parseFields } from './replies.ts';

/** Options of {@link vllmEngine}. */
export interface VllmOptions extends EngineOptions {
  /** Forget cached prefixes, which belong to the old weights. @default true */
  readonly flushCache?: boolean | undefined;
}

/**
 * vLLM, with the worker extension of the Python tool: `VLLM_SERVER_DEV_MODE=1 vllm serve ... --worker-extension-cls
 * checkpoint_engine.worker.VllmColocateWorkerExtension`.
 *
 * Releases that tell their world size are checked before bytes move. Those that keep a weight version are told it once
 * the weights are in.
 *
 * @source PyPI package vllm 0.33.0, `entrypoints/serve/dev`, `entrypoints/rl/online`
 */
export function vllmEngine({ flushCache = true, ...options }: VllmOptions): EngineClient {
  return httpEngine(vllm(flushCache), options);
}

const vllm = (flushCache: boolean): EngineAdapter => ({
  name: 'vllm',
  workers: 'v1',
  readyPath: '/health',
  looks: [
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
    // It stays true after a wake-up of the weights alone.
    { paths: ['/is_sleeping'], isOptional: true, read: ({ is_sleeping }) => ({ maySleep: is_sleeping === true }) },
  ],
  cautionOf: ({ address, maySleep }) =>
    maySleep
      ? `vLLM at ${address} sleeps: where its weights have no memory, an update ends it; wake them first, with POST /wake_up?tags=weights`
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
  after: (_, { weightVersion }) => [
    ...(flushCache
      ? [
          {
            path: '/reset_prefix_cache',
            otherwise: 'vLLM has no route to forget cached prefixes: those of the old weights stay',
            complaintIn: keptPrefixes,
            hint: 'Cached prefixes of the old weights may be used: reset them with POST /reset_prefix_cache',
          },
        ]
      : []),
    ...(weightVersion === undefined
      ? []
      : [
          {
            path: '/update_weight_version',
            body: { new_version: weightVersion },
            otherwise: 'This release of vLLM keeps no weight version',
          },
        ]),
  ],
  hints: {
    missing: 'Start vLLM with VLLM_SERVER_DEV_MODE=1: without it there is no such route',
    failed:
      "Read the answer in detail and vLLM's log; it must run with --worker-extension-cls checkpoint_engine.worker.VllmColocateWorkerExtension",
    slow: "Look at vLLM's log: a worker that hangs has no time-out of its own, restart it then",
  },
});

/** The method returns nothing: the answer is empty, or has a null for each worker; behind Ray Serve, for each replica. */
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
  return 'vLLM keeps cached prefixes of the old weights while requests use them: pause it around updates';
}
