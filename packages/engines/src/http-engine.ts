import {
  CheckpointEngineError,
  type Logger,
  silentLogger,
  toCheckpointEngineError,
} from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { EngineAdapter, EngineQuery, EngineStep } from './adapter.ts';
import type { EngineClient, EngineEndpoint, EngineOptions, EngineUpdate, EngineWait } from './engine-client.ts';
import { EngineHttp, isMissing, isRefused } from './engine-http.ts';
import { checkReady, checkTopology, type EngineReport, handlesOf } from './engine-report.ts';
import type { HttpReply } from './http-request.ts';
import { onAll } from './on-all.ts';
import { parseFields } from './replies.ts';
import { untilReady } from './until-ready.ts';

/** Time limit for one query. */
const QUERY_TIMEOUT_MS = 10_000;
/** Time limit for the request that marks an engine's weights as unknown. */
const FORGET_MS = 3_000;

/**
 * Creates the client of an engine that an adapter describes.
 *
 * @throws `CE_CONFIG_INVALID` for an endpoint that is not a URL, or an API key that no header can carry.
 */
export function httpEngine(adapter: EngineAdapter, options: EngineOptions): EngineClient {
  return new HttpEngine(adapter, options);
}

class HttpEngine implements EngineClient {
  readonly name: string;
  readonly workers: 'v1' | 'v2';
  readonly passes: 'one' | 'any';
  readonly #adapter: EngineAdapter;
  readonly #endpoints: readonly EngineEndpoint[];
  readonly #updatePath: string;
  readonly #logger: Logger;
  readonly #http: EngineHttp;
  #ahead: Promise<EngineReport[]> | undefined;

  constructor(adapter: EngineAdapter, { endpoints, apiKey, updatePath, logger = silentLogger }: EngineOptions) {
    if (endpoints.length === 0) throw new TypeError('An engine needs at least one endpoint');
    this.name = adapter.name;
    this.workers = adapter.workers;
    this.passes = adapter.passes ?? 'one';
    this.#adapter = adapter;
    this.#endpoints = endpoints;
    this.#updatePath = updatePath ?? adapter.update.path;
    this.#logger = logger;
    this.#http = new EngineHttp({ name: adapter.name, hints: adapter.hints, endpoints, apiKey, logger });
  }

  async ready({ signal, timeoutMs }: EngineWait): Promise<void> {
    await onAll(this.#endpoints, signal, (endpoint, stop) =>
      untilReady(this.#http, endpoint, this.#adapter, { signal: stop, timeoutMs }, this.#logger),
    );
  }

  prefetch(wait: EngineWait): void {
    this.#ahead = this.#describeServers(wait);
    this.#ahead.catch(() => {});
  }

  async preflight(update: EngineUpdate): Promise<void> {
    const ahead = await this.#ahead?.catch(() => undefined);
    this.#ahead = undefined;
    const reports = ahead ?? (await this.#describeServers(update));
    for (const report of reports) {
      const caution = this.#adapter.cautionOf?.(report);
      if (caution !== undefined) this.#logger.warn({ engine: this.name }, caution);
    }
    checkTopology(this.name, reports, update);
    if (this.#stepsBefore(reports, update).length === 0) this.#checkReady(reports);
  }

  async update(update: EngineUpdate): Promise<void> {
    const endsAt = performance.now() + update.timeoutMs;
    const left = (): EngineUpdate => ({ ...update, timeoutMs: Math.max(1, endsAt - performance.now()) });
    const { before, after } = this.#adapter;
    // If the engine needs no preparation, the pre-flight has already checked it.
    const reports = before
      ? await this.#describeServers(left())
      : this.#endpoints.map((endpoint) => this.#unknown(endpoint));
    checkTopology(this.name, reports, update);
    const steps = this.#stepsBefore(reports, update);
    if (steps.length === 0) this.#checkReady(reports);
    const followUps = (after?.(reports, update) ?? []).map((step) => this.#followUp(step, update.loaded, left));
    try {
      const prepared = steps.length === 0 ? reports : await this.#prepare(steps, left);
      await onAll([...prepared.keys()], update.signal, (index, signal) => {
        const handles = handlesOf(prepared[index]!, update);
        return this.#receive(this.#endpoints[index]!, { ...(before ? left() : update), signal, handles });
      });
    } catch (error) {
      const { afterFailure } = this.#adapter;
      if (afterFailure !== undefined && update.changesWeights !== false)
        this.#logger.error({ engine: this.name }, afterFailure);
      throw error;
    }
    for (const follow of followUps) await follow();
  }

  async forgetVersion(): Promise<void> {
    const { forgetVersion: step } = this.#adapter;
    if (step === undefined) return;
    // The signal of the update has fired by now.
    const wait = { signal: AbortSignal.timeout(FORGET_MS), timeoutMs: FORGET_MS };
    await this.#take(step, wait).catch((error) => {
      this.#logger.warn({ engine: this.name, path: step.path, error }, 'The engine still reports its earlier version');
    });
  }

  /**
   * Prepares a request after an update. One that the engine queues is sent as soon as the weights are loaded.
   *
   * @returns A function that sends the request, unless it was sent already, and waits for its answer.
   */
  #followUp(step: EngineStep, loaded: Promise<void> | undefined, left: () => EngineUpdate): () => Promise<void> {
    let sent: Promise<void> | undefined;
    const send = (): Promise<void> => {
      if (sent !== undefined) return sent;
      sent = this.#take(step, left());
      sent.catch(() => {});
      return sent;
    };
    if (step.isQueued) void loaded?.then(send);
    return () => this.#follow(step, send(), left());
  }

  /** Waits for a request after an update. The weights are loaded, whether it succeeds or not. */
  async #follow(step: EngineStep, sent: Promise<void>, { signal }: EngineWait): Promise<void> {
    try {
      await sent;
    } catch (thrown) {
      if (signal.aborted || !stillLives(thrown)) throw thrown;
      const { code, message, ...details } = toCheckpointEngineError(thrown);
      const what = `${this.name} has the new weights, but ${message}`;
      const { hint = details.hint } = step;
      if (step.isNeeded) throw new CheckpointEngineError(code, what, hint, { ...details, cause: thrown });
      this.#logger.warn({ engine: this.name, path: step.path, error: thrown, hint }, what);
    }
  }

  /** Returns the descriptions of the servers after their preparation. */
  async #prepare(steps: readonly EngineStep[], left: () => EngineUpdate): Promise<readonly EngineReport[]> {
    for (const step of steps) await this.#take(step, left());
    const reports = await this.#describeServers(left());
    checkTopology(this.name, reports, left());
    this.#checkReady(reports);
    return reports;
  }

  async #receive(endpoint: EngineEndpoint, update: EngineUpdate): Promise<void> {
    const { body, failureIn } = this.#adapter.update;
    const call = { method: 'POST', path: this.#updatePath, body: body(update) } as const;
    const reply = await this.#http.call(endpoint, call, update);
    const failure = failureIn(reply.text);
    if (failure !== undefined) throw this.#http.failed(endpoint, call, reply, failure);
  }

  /** Returns the description of each server. */
  #describeServers({ signal, timeoutMs }: EngineWait): Promise<EngineReport[]> {
    const wait = { timeoutMs: Math.min(QUERY_TIMEOUT_MS, timeoutMs) };
    return onAll(this.#endpoints, signal, async (endpoint, stop) => {
      let report = this.#unknown(endpoint);
      for (const query of this.#adapter.queries ?? []) {
        report = { ...report, ...(await this.#queryOnce(endpoint, query, { ...wait, signal: stop })) };
      }
      return report;
    });
  }

  async #queryOnce(endpoint: EngineEndpoint, query: EngineQuery, wait: EngineWait): Promise<Partial<EngineReport>> {
    const [path, ...others] = query.paths ?? [this.#updatePath];
    try {
      const { text } = await this.#http.call(endpoint, { method: 'GET', path: path! }, wait);
      return query.read(parseFields(text));
    } catch (error) {
      if (wait.signal.aborted) throw error;
      if (isMissing(error) && others.length > 0)
        return await this.#queryOnce(endpoint, { ...query, paths: others }, wait);
      if (!query.isOptional || isRefused(error)) throw error;
      this.#logger.debug({ engine: this.name, error }, 'The engine does not report this');
      return {};
    }
  }

  async #take(step: EngineStep, { signal, timeoutMs }: EngineWait): Promise<void> {
    const { path, otherwise } = step;
    await onAll(this.#endpoints, signal, async (endpoint, stop) => {
      try {
        const wait = { signal: stop, timeoutMs };
        const { text } = await this.#post(endpoint, step, wait);
        const complaint = step.complaintIn?.(text);
        if (complaint !== undefined) this.#logger.warn({ engine: this.name, path }, complaint);
      } catch (error) {
        if (otherwise === undefined || !isMissing(error)) throw error;
        this.#logger.warn({ engine: this.name, path, error }, otherwise);
      }
    });
  }

  async #post(endpoint: EngineEndpoint, step: EngineStep, wait: EngineWait): Promise<HttpReply> {
    const { path } = step;
    // If the update fails, its version never settles.
    const body = await untilAborted(Promise.resolve(step.body), wait.signal);
    try {
      return await this.#http.call(endpoint, { method: 'POST', path, body }, wait);
    } catch (error) {
      const recovery = step.recover?.(error);
      if (recovery === undefined) throw error;
      this.#logger.warn({ engine: this.name, path, error }, 'Cleaning up after an earlier update');
      await this.#http.call(endpoint, { method: 'POST', path: recovery.path, body: await recovery.body }, wait);
      return await this.#http.call(endpoint, { method: 'POST', path, body }, wait);
    }
  }

  #stepsBefore(reports: readonly EngineReport[], update: EngineUpdate): readonly EngineStep[] {
    return this.#adapter.before?.(reports, update) ?? [];
  }

  #checkReady(reports: readonly EngineReport[]): void {
    const { notReady, failed } = this.#adapter.hints;
    checkReady(this.name, reports, notReady ?? failed);
  }

  #unknown(endpoint: EngineEndpoint): EngineReport {
    return { address: this.#http.shown(endpoint) };
  }
}

/** An engine that has ended, or reports that it is dead, has no weights. */
function stillLives(error: unknown): boolean {
  if (!CheckpointEngineError.isInstance(error)) return false;
  return error.code !== 'CE_ENGINE_UNREACHABLE' && !/EngineDead/.test(`${error.message} ${error.detail}`);
}
