import { type EngineAdapter, parseJson } from './adapter.ts';
import type { EngineClient, EngineOptions } from './engine-client.ts';
import { HttpEngine } from './http-engine.ts';

/**
 * vLLM, with the worker extension of the Python tool: `VLLM_SERVER_DEV_MODE=1 vllm serve ... --worker-extension-cls
 * checkpoint_engine.worker.VllmColocateWorkerExtension`. It keeps no weight version for this route.
 *
 * @source https://docs.vllm.ai `/collective_rpc`
 */
export function vllmEngine(options: EngineOptions): EngineClient {
  return new HttpEngine(adapter, options);
}

const adapter: EngineAdapter = {
  name: 'vllm',
  readyPath: '/health',
  updatePath: '/collective_rpc',
  body: ({ handles, timeoutMs }) => ({
    method: 'update_weights_from_ipc',
    args: [handles],
    timeout: timeoutMs / 1000,
  }),
  failureIn(text) {
    if (text.trim() === '') return undefined;
    const results = (parseJson(text) as { results?: unknown } | null | undefined)?.results;
    // The method returns nothing: one null a worker.
    if (Array.isArray(results) && results.every((result) => result === null)) return undefined;
    return `the workers returned something: ${text.slice(0, 200)}`;
  },
  hints: {
    missing: 'Start vLLM with VLLM_SERVER_DEV_MODE=1: without it there is no such route',
    failed:
      "Read the answer in detail and vLLM's log; it must run with --worker-extension-cls checkpoint_engine.worker.VllmColocateWorkerExtension",
    slow: "Look at vLLM's log: a worker that hangs has no time-out of its own, restart it then",
  },
};
