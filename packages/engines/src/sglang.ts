import { UNKNOWN_VERSION } from '@checkpoint-engine/interface';
import type { EngineAdapter, EngineStep } from './adapter.ts';
import type { EngineClient, EngineOptions } from './engine-client.ts';
import { extendEngine } from './extend-engine.ts';
import { httpEngine } from './http-engine.ts';
import { type NewVersion, withVersion } from './new-version.ts';
import { countOf, successOrMessage } from './replies.ts';
import { describeSglang, findSglangWorkers } from './sglang-workers.ts';

/** Options of {@link sglangEngine}. */
export interface SglangOptions extends EngineOptions {
  /** Whether to flush the prefix cache, which belongs to the old weights. @default true */
  readonly flushCache?: boolean | undefined;
  /**
   * Free torch's cached device memory as well. Older releases do not know the field, so it is sent only if it is set.
   */
  readonly torchEmptyCache?: boolean | undefined;
}

/**
 * SGLang. It accepts requests as soon as its HTTP server listens: before its warm-up, which waits for the weights under
 * `--checkpoint-engine-wait-weights-before-ready`. Its post-load hook logs failures and reports success. With a draft
 * model it loads once more for each draft runner, through the same addresses: `passes: 'any'`.
 *
 * @source PyPI package sglang 0.5.23, `srt/entrypoints/http_server.py`
 */
export function sglangEngine({ flushCache = true, torchEmptyCache, ...options }: SglangOptions): EngineClient {
  return extendEngine(httpEngine(sglang(flushCache, torchEmptyCache), options), {
    choose: (wait) => findSglangWorkers(options, wait),
    describe: (wait) => describeSglang(options, wait),
  });
}

/** @param otherwise What a release without the route reports. */
function versionStep(version: NewVersion, otherwise: string): EngineStep {
  return {
    path: '/update_weight_version',
    // By default this route ends all running requests.
    body: withVersion(version, (settled) => ({ new_version: settled, abort_all_requests: false })),
    otherwise: `This release of SGLang has no route for its weight version: ${otherwise}`,
    complaintIn: successOrMessage,
  };
}

const sglang = (flushCache: boolean, torchEmptyCache: boolean | undefined): EngineAdapter => ({
  name: 'sglang',
  workers: 'v1',
  passes: 'any',
  readyPath: '/ping',
  // Since 0.5.23 the status is 503 until the end of the warm-up, which may wait for these weights. A proxy's 503 has a
  // text.
  isListening: ({ status, text }) => status === 503 && text === '',
  queries: [
    {
      paths: ['/server_info', '/get_server_info'],
      isOptional: true,
      read: ({ tp_size, pp_size = 1 }) => {
        const [tensor, pipeline] = [countOf(tp_size), countOf(pp_size)];
        return { workerCount: tensor && pipeline && tensor * pipeline };
      },
    },
  ],
  update: {
    path: '/update_weights_from_ipc',
    body: ({ handles, weightVersion, settledVersion }) => ({
      zmq_handles: handles,
      flush_cache: flushCache,
      // A version that is known only at the end is sent in a separate request.
      weight_version: weightVersion ?? (settledVersion === undefined ? null : UNKNOWN_VERSION),
      ...(torchEmptyCache === undefined ? {} : { torch_empty_cache: torchEmptyCache }),
    }),
    failureIn: successOrMessage,
  },
  after: (_, { weightVersion, settledVersion }) =>
    weightVersion !== undefined || settledVersion === undefined
      ? []
      : [versionStep(settledVersion, 'it reports the version as unknown')],
  forgetVersion: versionStep(UNKNOWN_VERSION, 'it still names the earlier one'),
  hints: {
    missing:
      'Use a release of SGLang with this route, and install the Python package checkpoint-engine in its environment',
    failed: "Read detail, which has the answer, and SGLang's log, and restart SGLang if its workers still wait",
    slow: "Check SGLang's log; with a draft model it loads every weight again, so the update needs passes: 'any'",
  },
});
