import { successOrMessage } from './adapter.ts';
import type { EngineClient, EngineOptions } from './engine-client.ts';
import { HttpEngine } from './http-engine.ts';

/** Options of {@link sglangEngine}. */
export interface SglangOptions extends EngineOptions {
  /** Forget cached prefixes, which belong to the old weights. @default true */
  readonly flushCache?: boolean | undefined;
  /** Free torch's cached device memory too. Older releases do not know it: it is sent only where it is set. */
  readonly torchEmptyCache?: boolean | undefined;
}

/**
 * SGLang. Its readiness says only that HTTP listens. Its post-load hook logs what fails and reports success all the
 * same. With a draft model it loads twice through each address: the session has to be served a second time.
 *
 * @source https://github.com/sgl-project/sglang `python/sglang/srt/entrypoints/http_server.py`
 */
export function sglangEngine({ flushCache = true, torchEmptyCache, ...options }: SglangOptions): EngineClient {
  return new HttpEngine(
    {
      name: 'sglang',
      readyPath: '/ping',
      updatePath: '/update_weights_from_ipc',
      body: ({ handles, weightVersion }) => ({
        zmq_handles: handles,
        flush_cache: flushCache,
        weight_version: weightVersion ?? null,
        ...(torchEmptyCache === undefined ? {} : { torch_empty_cache: torchEmptyCache }),
      }),
      failureIn: successOrMessage,
      hints: {
        missing: 'Use a release of SGLang with this route, and install the Python package checkpoint-engine beside it',
        failed: "Read the answer in detail and SGLang's log, and restart SGLang if its workers still wait",
        slow: "Look at SGLang's log; with a draft model it loads every weight twice, which has to be asked for",
      },
    },
    options,
  );
}
