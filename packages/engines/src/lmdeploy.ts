import type { EngineAdapter, EngineStep } from './adapter.ts';
import type { EngineClient, EngineOptions } from './engine-client.ts';
import type { EngineReport } from './engine-report.ts';
import { extendEngine } from './extend-engine.ts';
import { httpEngine } from './http-engine.ts';
import { successOrMessage, textsOf } from './replies.ts';

/** Options of {@link lmdeployEngine}. */
export interface LmdeployOptions extends EngineOptions {
  /**
   * Restore its KV cache after the update, so that it serves. If `undefined`, only if it served before, because the
   * memory may have another user while the engine sleeps.
   */
  readonly wakeAfter?: boolean | undefined;
}

/**
 * LMDeploy's PyTorch engine. An engine that serves is put to sleep, which drops its weights, and woken after the
 * update; an engine that sleeps stays asleep during the update. After a failure it stays asleep: its weights may be
 * partly new, so recreate its replicas. It keeps no weight version, and loses its prefix cache when it sleeps.
 *
 * @source PyPI package lmdeploy 0.18.0, `serve/openai/endpoints/management.py`
 */
export function lmdeployEngine({ wakeAfter, ...options }: LmdeployOptions): EngineClient {
  return extendEngine(httpEngine(lmdeploy(wakeAfter), options), {
    describe: async () => ({
      summary: "LMDeploy receives weights through the Python tool's worker, protocol v1",
      hint: 'LMDeploy has no receiver: every worker receives the whole checkpoint in buckets',
      workers: [],
    }),
  });
}

const lmdeploy = (wakeAfter: boolean | undefined): EngineAdapter => ({
  name: 'lmdeploy',
  workers: 'v1',
  readyPath: '/health',
  queries: [
    {
      read: ({ ready, message, is_sleeping, sleeping_tags, device_uuids }) => ({
        isReady: ready === true,
        message: typeof message === 'string' ? message : undefined,
        isSleeping: is_sleeping === true,
        sleepingTags: textsOf(sleeping_tags),
        deviceUuids: textsOf(device_uuids),
      }),
    },
  ],
  before: (reports) => {
    if (serves(reports)) return [SLEEP, wake('weights')];
    return needsWeights(reports) ? [wake('weights')] : [];
  },
  update: {
    path: '/update_weights_from_ipc',
    body: ({ handles }) => ({ zmq_handles: handles }),
    failureIn: successOrMessage,
  },
  after: (reports) => ((wakeAfter ?? serves(reports)) ? [{ ...wake('kv_cache'), isNeeded: true }] : []),
  hints: {
    missing: 'Use a release of LMDeploy with this route, started with --backend pytorch',
    failed: "Read detail, which has the answer, and LMDeploy's log; after a failed update, recreate its replicas",
    slow: "Check LMDeploy's log; list all servers of a data-parallel instance",
    notReady:
      'Start it with --backend pytorch --distributed-executor-backend ray, and with checkpoint-engine installed',
  },
  afterFailure: 'LMDeploy stays asleep with weights that may be partly new: recreate its replicas',
});

// These routes require a JSON body, although they read only the query.
const SLEEP: EngineStep = { path: '/sleep?level=2', body: {} };
const wake = (tag: 'weights' | 'kv_cache'): EngineStep => ({ path: `/wakeup?tags=${tag}`, body: {} });

const serves = (reports: readonly EngineReport[]): boolean => reports.every(({ isSleeping }) => !isSleeping);

/** Servers that sleep without memory for weights get memory first; a server that was started empty is already ready. */
function needsWeights(reports: readonly EngineReport[]): boolean {
  return reports.some(({ isReady, sleepingTags = [] }) => isReady === false && sleepingTags.includes('weights'));
}
