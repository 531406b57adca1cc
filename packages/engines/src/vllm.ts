import { CheckpointEngineError, type Logger, silentLogger } from '@checkpoint-engine/interface';
import type { EngineAdapter } from './adapter.ts';
import type {
  DescribeOptions,
  EngineClient,
  EngineOptions,
  EngineUpdate,
  EngineWait,
  WorkerChoice,
} from './engine-client.ts';
import type { EngineDescription } from './engine-description.ts';
import { httpEngine } from './http-engine.ts';
import { type VllmLoading, vllmBackend, vllmExtension, vllmV1 } from './vllm-adapters.ts';
import { checkDraftPass } from './vllm-draft.ts';
import {
  askBackend,
  describeVllm,
  findVllmReceiver,
  receptionText,
  type VllmReceiver,
  vllmVersion,
} from './vllm-receiver.ts';
import { checkAwake } from './vllm-sleep.ts';

/** Options of {@link vllmEngine}. */
export interface VllmOptions extends EngineOptions {
  /**
   * Whether to flush the caches that belong to the old weights: of prefixes, and of a multimodal model's encoder.
   * @default true
   */
  readonly flushCache?: boolean | undefined;
  /**
   * Pauses generation during the update: `abort` ends running requests, `wait` lets them end, `keep` freezes them with
   * the key-value cache of the old weights. After a failed update vLLM stays paused. @default 'off'
   */
  readonly pause?: 'off' | 'abort' | 'wait' | 'keep' | undefined;
}

/**
 * vLLM, started with `VLLM_SERVER_DEV_MODE=1` and one of:
 *
 * - `--weight-transfer-config '{"backend":"checkpoint_engine"}'` with the Python package `checkpoint-engine-worker`
 *   (vLLM 0.26 and later): protocol v2.
 * - `--worker-extension-cls checkpoint_engine_worker.vllm_extension.WorkerExtension`: the same, for any release.
 * - `--worker-extension-cls checkpoint_engine.worker.VllmColocateWorkerExtension` with the Python tool: protocol v1.
 *
 * `choose` detects which one. Releases that report their world size are checked before any data moves. Releases that
 * keep a weight version receive it after the weights, and `unknown` after an update that failed.
 *
 * @source PyPI package vllm 0.33.0, `entrypoints/serve/dev`, `entrypoints/rl/online`
 */
export function vllmEngine(options: VllmOptions): EngineClient {
  return new VllmEngine(options);
}

const ADAPTERS: Readonly<Record<VllmReceiver['name'], (loading: VllmLoading) => EngineAdapter>> = {
  v1: vllmV1,
  extension: vllmExtension,
  backend: vllmBackend,
};

class VllmEngine implements EngineClient {
  readonly name = 'vllm';
  readonly #options: VllmOptions;
  readonly #logger: Logger;
  #receiver: VllmReceiver | undefined;
  /** The client for the receiver that was found last. */
  #found: EngineClient | undefined;
  #awake: Promise<void> | undefined;

  constructor(options: VllmOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    // Report bad endpoints and keys at once.
    this.#client({ name: 'v1' });
  }

  ready(wait: EngineWait): Promise<void> {
    return this.#client({ name: 'v1' }).ready(wait);
  }

  async choose(wait: EngineWait): Promise<WorkerChoice> {
    const { endpoints, apiKey } = this.#options;
    const found = await findVllmReceiver({ endpoints, apiKey, logger: this.#logger }, wait, this.#receiver?.name);
    this.#receiver = found;
    this.#found = this.#client(found);
    this.#logger.info({ engine: this.name, receiver: found.name }, receptionText(found));
    return {
      workers: found.name === 'v1' ? 'v1' : 'v2',
      passes: found.name === 'backend' && found.loadsDraft === true ? 'any' : 'one',
      canPrepare: found.name === 'extension',
    };
  }

  async describe(question: DescribeOptions): Promise<EngineDescription> {
    const { endpoints, apiKey } = this.#options;
    const asked = { endpoints, apiKey, logger: this.#logger };
    const found = await findVllmReceiver(asked, question);
    if (found.name !== 'backend') return describeVllm(found);
    const weightVersion = await vllmVersion(asked, question);
    return { ...describeVllm({ ...found, ...(await askBackend(asked, question)) }), weightVersion };
  }

  prefetch(wait: EngineWait): void {
    this.#found?.prefetch?.(wait);
    this.#awake = this.#checkAwake(wait);
    this.#awake.catch(() => {});
  }

  async preflight(update: EngineUpdate): Promise<void> {
    const client = await this.#clientOf(update);
    if (client === this.#found && this.#receiver?.name === 'backend') checkDraftPass(this.#receiver);
    await client.preflight!(update);
    if (client !== this.#found) return;
    const awake = this.#awake?.then(
      () => true,
      () => false,
    );
    this.#awake = undefined;
    if (!(await awake)) await this.#checkAwake(update);
  }

  async update(update: EngineUpdate): Promise<void> {
    await (await this.#clientOf(update)).update(update);
  }

  forgetVersion(): Promise<void> {
    return this.#client({ name: 'v1' }).forgetVersion!();
  }

  /** The addresses show the protocol; the server's configuration decides between the two receivers of protocol v2. */
  async #clientOf({ handles, ...wait }: EngineUpdate): Promise<EngineClient> {
    const isV2 = Object.values(handles).some((address) => address.startsWith('ce2:'));
    if (isV2 && this.#receiver === undefined) await this.choose(wait);
    const isFoundV1 = this.#receiver === undefined || this.#receiver.name === 'v1';
    if (isV2 !== isFoundV1) return this.#found ?? this.#client({ name: 'v1' });
    // The caller has chosen protocol v1, although the engine has a receiver.
    if (!isV2) return this.#client({ name: 'v1', cachesEncoder: this.#receiver?.cachesEncoder });
    throw new CheckpointEngineError(
      'CE_ENGINE_MISMATCH',
      'The update uses worker protocol v2, but vLLM has no receiver for it',
      'Start vLLM with the Python package checkpoint-engine-worker, see docs/update-vllm.md, or use protocol v1',
    );
  }

  async #checkAwake(wait: EngineWait): Promise<void> {
    const { endpoints, apiKey, pause = 'off' } = this.#options;
    await checkAwake({ endpoints, apiKey, logger: this.#logger }, this.#receiver?.name ?? 'v1', pause, wait);
  }

  #client(receiver: VllmReceiver): EngineClient {
    const { flushCache = true, pause = 'off', updatePath, ...options } = this.#options;
    const adapter = ADAPTERS[receiver.name]({
      flushCache,
      pause,
      loadsDraft: receiver.loadsDraft,
      cachesEncoder: receiver.cachesEncoder,
    });
    // A path from the caller is the path of the Python tool's request.
    return httpEngine(adapter, receiver.name === 'v1' ? { ...options, updatePath } : options);
  }
}
