import { type EngineAdapter, successOrMessage } from './adapter.ts';
import type { EngineClient, EngineOptions, EngineUpdate, EngineWait } from './engine-client.ts';
import { HttpEngine } from './http-engine.ts';
import { allSleep, checkDevices, checkReady, handlesOf, type LmdeployStatus, readStatus } from './lmdeploy-status.ts';
import { onAll } from './on-all.ts';

/** Options of {@link lmdeployEngine}. */
export interface LmdeployOptions extends EngineOptions {
  /**
   * Give it its KV cache back after the update, so that it serves. Where it is `undefined`: only if it served before,
   * since whoever put it to sleep may still use the memory.
   */
  readonly wakeAfter?: boolean | undefined;
}

/**
 * LMDeploy's PyTorch engine. One that serves is put to sleep, which drops its weights, and woken after the update; one
 * that sleeps is updated as it is. After a failure it stays asleep: its weights may be partly new, so its replicas are
 * to be recreated.
 *
 * @source https://github.com/InternLM/lmdeploy `docs/en/advance/checkpoint_engine.md`
 */
export function lmdeployEngine(options: LmdeployOptions): EngineClient {
  return new LmdeployEngine(options);
}

const UPDATE_PATH = '/update_weights_from_ipc';

const adapter: EngineAdapter = {
  name: 'lmdeploy',
  readyPath: '/health',
  updatePath: UPDATE_PATH,
  body: ({ handles }) => ({ zmq_handles: handles }),
  failureIn: successOrMessage,
  hints: {
    missing: 'Use a release of LMDeploy with this route, started with --backend pytorch',
    failed: "Read the answer in detail and LMDeploy's log; after a failed update recreate its replicas",
    slow: "Look at LMDeploy's log; all servers of a data-parallel instance have to be named",
  },
};

class LmdeployEngine implements EngineClient {
  readonly name: string = adapter.name;
  readonly #http: HttpEngine;
  readonly #wakeAfter: boolean | undefined;
  readonly #statusPath: string;

  constructor({ wakeAfter, ...options }: LmdeployOptions) {
    this.#http = new HttpEngine(adapter, options);
    this.#wakeAfter = wakeAfter;
    this.#statusPath = options.updatePath ?? UPDATE_PATH;
  }

  ready(wait: EngineWait): Promise<void> {
    return this.#http.ready(wait);
  }

  async preflight(update: EngineUpdate): Promise<void> {
    const statuses = await this.#statuses(update);
    checkDevices(statuses, update);
    if (allSleep(statuses) && !canWakeWeights(statuses)) checkReady(statuses);
  }

  async update(update: EngineUpdate): Promise<void> {
    const endsAt = performance.now() + update.timeoutMs;
    const wait = (): EngineWait => ({ signal: update.signal, timeoutMs: Math.max(1, endsAt - performance.now()) });
    let statuses = await this.#statuses(wait());
    checkDevices(statuses, update);
    const served = !allSleep(statuses);
    if (served) await this.#postAll('/sleep?level=2', wait());
    if (served || canWakeWeights(statuses)) {
      await this.#postAll('/wakeup?tags=weights', wait());
      statuses = await this.#statuses(wait());
      checkDevices(statuses, update);
    }
    checkReady(statuses);
    await onAll(statuses, update.signal, (status, signal) => {
      return this.#http.updateOne(status.endpoint, { ...wait(), signal, handles: handlesOf(status, update) });
    });
    if (this.#wakeAfter ?? served) await this.#postAll('/wakeup?tags=kv_cache', wait());
  }

  #statuses({ signal, timeoutMs }: EngineWait): Promise<LmdeployStatus[]> {
    return onAll(this.#http.endpoints, signal, async (endpoint, stop) => {
      const call = { method: 'GET', path: this.#statusPath } as const;
      return readStatus(endpoint, (await this.#http.call(endpoint, call, { signal: stop, timeoutMs })).text);
    });
  }

  async #postAll(path: string, { signal, timeoutMs }: EngineWait): Promise<void> {
    await onAll(this.#http.endpoints, signal, (endpoint, stop) =>
      this.#http.call(endpoint, { method: 'POST', path, body: {} }, { signal: stop, timeoutMs }),
    );
  }
}

/** Servers that sleep without memory for weights get it first; one that was started empty is ready as it is. */
function canWakeWeights(statuses: readonly LmdeployStatus[]): boolean {
  return statuses.some(({ isReady, sleepingTags }) => !isReady && sleepingTags.includes('weights'));
}
